# SPDX-License-Identifier: MIT
"""Runs portable test files under MicroPython: run.py FILE...

One line for each test, a trace for each failure, `N passed, N failed` at the end. Exits 1 when
anything failed, a file could not be imported, or a file held no test: a run that tested nothing
must not look well.
"""

import gc
import sys
import unittest


def _cases(module):
    """(class, names of its tests), in an order that is the same in every run."""
    found = []
    for attribute in sorted(dir(module)):
        case = getattr(module, attribute)
        if (
            isinstance(case, type)
            and issubclass(case, unittest.TestCase)
            and not attribute.startswith("_")
        ):
            names = sorted({name for name in dir(case) if name.startswith("test")})
            if names:
                found.append((case, names))
    return found


def _report(label, error):
    print("FAIL " + label)
    sys.print_exception(error)


def _run_case(case, names, prefix):
    passed = failed = 0
    for name in names:
        label = "{}::{}::{}".format(prefix, case.__name__, name)
        gc.collect()
        try:
            case().run_one(name)
        except KeyboardInterrupt:
            raise
        except (
            BaseException
        ) as error:  # so is a sys.exit() or a simulated power cut that nobody caught
            _report(label, error)
            failed += 1
        else:
            print("ok   " + label)
            passed += 1
    return passed, failed


def _run_file(path):
    folder, _, file = path.rpartition("/")
    sys.path.insert(0, folder or ".")
    try:
        module = __import__(file[:-3])
    except Exception as error:
        _report(path, error)
        return 0, 1
    finally:
        sys.path.pop(0)
    passed = failed = 0
    for case, names in _cases(module):
        p, f = _run_case(case, names, file)
        passed += p
        failed += f
    if not passed + failed:
        print("FAIL {}: holds no test".format(path))
        failed = 1
    return passed, failed


def main(paths):
    passed = failed = 0
    for path in paths:
        p, f = _run_file(path)
        passed += p
        failed += f
    print("{} passed, {} failed".format(passed, failed))
    return 0 if passed and not failed else 1


sys.exit(main(sys.argv[1:]))
