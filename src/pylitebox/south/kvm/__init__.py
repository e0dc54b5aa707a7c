"""The kvm platform: guests in ring 3 of one virtual machine per sandbox. Python is its monitor
and there is no guest kernel.

What is KVM's own (descriptors and ioctls: host.py) is kept apart from what is any hypervisor's: the few ring-0
instructions (trampoline.py), page tables (tables.py), entering ring 3 and what came back (machine.py).
"""
