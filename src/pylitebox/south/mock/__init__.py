"""The mock platform: scripted guests, a virtual clock, host files and streams out of thin air; and wrappers around any
platform that inject faults or trace the contract. Most tests of kernel and North need nothing else.
"""
