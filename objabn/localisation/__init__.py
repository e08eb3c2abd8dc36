"""Where maps lie beside where things are: boxes on videos, protocols of comparison, and their numbers."""

from objabn.data.box_files import read_boxes
from objabn.localisation.localiser import Localiser
from objabn.localisation.protocols import PROTOCOLS, Protocol
from objabn.localisation.scores import Localisation, MapLocalisation

__all__ = ["PROTOCOLS", "Localisation", "Localiser", "MapLocalisation", "Protocol", "read_boxes"]
