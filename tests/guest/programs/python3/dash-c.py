import sys

print(sys.version_info[:2], sys.argv)
sys.exit(3)
