from __future__ import annotations

import signal

# Shells and many CI systems start background jobs with SIGINT ignored. The processes that tests start and
# interrupt would inherit this. A handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
