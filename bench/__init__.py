"""How fast PyCloud is, each figure beside the limit of the machine, measured in the same run (``make bench``)."""
