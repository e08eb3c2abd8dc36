"""Networks: backbones cut in two, attention branches, and the network that joins them."""
