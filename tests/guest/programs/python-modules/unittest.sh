cat > test_x.py <<'END'
import unittest


class T(unittest.TestCase):
    def test(self):
        self.assertEqual(1, 1)
END
/usr/bin/python3 -m unittest -q 2>&1 | sed 's/ in .*s$//'
