"""Whether maps say what a network acts on: it is asked again, without what they show, with nothing else, and with other weights."""

from objabn.faithfulness.curves import Curve, deletion, insertion
from objabn.faithfulness.drop import Drop, average_drop
from objabn.faithfulness.randomisation import Randomisation, randomisation_check

__all__ = ["Curve", "Drop", "Randomisation", "average_drop", "deletion", "insertion", "randomisation_check"]
