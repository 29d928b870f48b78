"""The reference doctor: is a recording fit to be cloned, and which seconds of it are the best?"""

from .doctor import MAX_SPAN as MAX_SPAN
from .doctor import Report as Report
from .doctor import examine as examine
from .findings import Finding as Finding
from .findings import Severity as Severity
from .findings import Verdict as Verdict
from .window import HEARD_SECONDS as HEARD_SECONDS
from .window import MAX_WINDOW as MAX_WINDOW
