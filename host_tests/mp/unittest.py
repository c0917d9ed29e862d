# SPDX-License-Identifier: MIT
"""The part of `unittest` that portable tests use, for MicroPython.

Not a copy of CPython's: no loader, no skips, no output of its own. `run.py` finds the cases and
prints; a test file that needs more than this belongs in host_tests/, under pytest.
"""


class _Raises:
    """`with self.assertRaises(E) as caught:`, and `caught.exception` afterwards."""

    def __init__(self, expected):
        self._expected = expected
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            raise AssertionError("not raised: " + _names(self._expected))
        self.exception = value
        return issubclass(kind, self._expected)


def _names(classes):
    if isinstance(classes, tuple):
        return " or ".join([c.__name__ for c in classes])
    return classes.__name__


class _SubTest:
    """Says which case of a loop failed; unlike CPython's it ends the test there."""

    def __init__(self, facts):
        self._facts = facts

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and issubclass(kind, Exception):
            print("    in", self._facts)
        return False


class TestCase:
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def addCleanup(self, function, *args, **kwargs):
        if not hasattr(self, "_cleanups"):
            self._cleanups = []
        self._cleanups.append((function, args, kwargs))

    def run_one(self, name):
        """Runs one test method between setUp and tearDown. What it raises goes to the caller."""
        try:
            self.setUp()
            try:
                getattr(self, name)()
            finally:
                self.tearDown()
        finally:
            for function, args, kwargs in reversed(getattr(self, "_cleanups", ())):
                function(*args, **kwargs)

    def subTest(self, msg=None, **facts):
        return _SubTest(facts if msg is None else (msg, facts))

    def fail(self, msg=None):
        raise AssertionError(msg or "failed")

    def _hold(self, true, msg, *facts):
        if not true:
            text = " ".join([_short(f) for f in facts])
            raise AssertionError(text if msg is None else text + ": " + str(msg))

    def assertEqual(self, a, b, msg=None):
        self._hold(a == b, msg, a, _Word("!="), b)

    def assertNotEqual(self, a, b, msg=None):
        self._hold(a != b, msg, a, _Word("=="), b)

    def assertTrue(self, a, msg=None):
        self._hold(a, msg, a, _Word("is not true"))

    def assertFalse(self, a, msg=None):
        self._hold(not a, msg, a, _Word("is not false"))

    def assertIs(self, a, b, msg=None):
        self._hold(a is b, msg, a, _Word("is not"), b)

    def assertIsNot(self, a, b, msg=None):
        self._hold(a is not b, msg, a, _Word("is"), b)

    def assertIsNone(self, a, msg=None):
        self._hold(a is None, msg, a, _Word("is not None"))

    def assertIsNotNone(self, a, msg=None):
        self._hold(a is not None, msg, _Word("is None"))

    def assertIn(self, a, b, msg=None):
        self._hold(a in b, msg, a, _Word("not in"), b)

    def assertNotIn(self, a, b, msg=None):
        self._hold(a not in b, msg, a, _Word("in"), b)

    def assertIsInstance(self, a, classes, msg=None):
        self._hold(isinstance(a, classes), msg, a, _Word("is no"), _Word(_names(classes)))

    def assertLess(self, a, b, msg=None):
        self._hold(a < b, msg, a, _Word("not <"), b)

    def assertLessEqual(self, a, b, msg=None):
        self._hold(a <= b, msg, a, _Word("not <="), b)

    def assertGreater(self, a, b, msg=None):
        self._hold(a > b, msg, a, _Word("not >"), b)

    def assertGreaterEqual(self, a, b, msg=None):
        self._hold(a >= b, msg, a, _Word("not >="), b)

    def assertRaises(self, expected, function=None, *args, **kwargs):
        caught = _Raises(expected)
        if function is None:
            return caught
        with caught:
            function(*args, **kwargs)
        return None


class _Word(str):
    """Text of the message itself, as opposed to a value that is shown by repr."""


def _short(fact):
    if isinstance(fact, _Word):
        return str(fact)
    text = repr(fact)
    return text if len(text) <= 300 else text[:300] + "..."
