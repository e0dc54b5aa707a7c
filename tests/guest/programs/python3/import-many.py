import bz2, ctypes, curses, decimal, email, hashlib, http.client, json, logging.handlers, lzma, re, sqlite3, ssl
import unittest, urllib.request, uuid, xml.dom.minidom, zipfile


print(ctypes.CDLL(None).abs(-3), hashlib.sha256(b"x").hexdigest()[:8], lzma.decompress(lzma.compress(b"l")))
