"""What is to be packed: official lists, folders of class folders, CSV lists; each function here returns a Listing."""

from objabn.data.sources.class_folders import folder
from objabn.data.sources.csv_lists import csv_list
from objabn.data.sources.hmdb51_lists import hmdb51
from objabn.data.sources.kinetics_lists import kinetics
from objabn.data.sources.listing import Entry, Listing
from objabn.data.sources.official import OFFICIAL, official
from objabn.data.sources.ssv2_lists import ssv2
from objabn.data.sources.ucf101_lists import ucf101

__all__ = ["OFFICIAL", "Entry", "Listing", "csv_list", "folder", "hmdb51", "kinetics", "official", "ssv2", "ucf101"]
