"""The local page of `objabn view`: a video in, predictions and maps out, and maps that one may paint; only `page` needs NiceGUI."""
