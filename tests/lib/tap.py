"""TAP for the test scripts: one line per check, a plan at the end.

    t = Tap()
    t.is_(got, wanted, "name")
    t.done()            # prints the plan and exits

A check that raises counts as failed: wrap groups of checks in t.group().
"""
import contextlib
import signal
import sys
import traceback


class Tap:
    def __init__(self, time_limit=300):
        self.count = 0
        self.failed = 0
        signal.signal(signal.SIGALRM, self._out_of_time)
        signal.alarm(time_limit)

    @staticmethod
    def _out_of_time(_signo, _frame):
        raise TimeoutError("the script ran out of time")

    def ok(self, good, name, *details):
        """One result; `details` are printed when it is not good."""
        self.count += 1
        name = str(name).replace("#", "\\#").replace("\n", " ")
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        if not good:
            self.failed += 1
            for detail in details:
                self.note(detail)
        sys.stdout.flush()
        return bool(good)

    def is_(self, got, wanted, name, *details):
        return self.ok(got == wanted, name, f"got    {got!r}",
                       f"wanted {wanted!r}", *details)

    def has(self, text, part, name, *details):
        return self.ok(part in text, name, f"no {part!r} in", text, *details)

    def hasnt(self, text, part, name, *details):
        return self.ok(part not in text, name, f"{part!r} is in", text,
                       *details)

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}", flush=True)

    @staticmethod
    def note(text):
        if isinstance(text, bytes):
            text = text.decode("utf-8", "backslashreplace")
        for line in str(text)[:20000].splitlines() or [""]:
            print("#", line)

    @contextlib.contextmanager
    def group(self, name):
        """What raises in here is one failed check, not the script's end."""
        try:
            yield
        except Exception:  # pylint: disable=broad-except
            self.ok(False, f"{name}: exception", traceback.format_exc())

    def done(self):
        signal.alarm(0)
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)
