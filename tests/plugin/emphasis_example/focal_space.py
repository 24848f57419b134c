"""Where focal loss is searched. It imports nothing heavy: a list of spaces should not load torch."""

from spaces import Dimension
from spaces import RangesSpace

# 0 is CCE; the authors' table ends at 5.
FOCAL = RangesSpace(supervision="focal", dimensions={"gamma": Dimension(low=0, high=5)})
