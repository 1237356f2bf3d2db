from __future__ import annotations

import signal

# A shell starts its background jobs with SIGINT ignored, as many CI systems do, and what tests start and
# interrupt would inherit that. A handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
