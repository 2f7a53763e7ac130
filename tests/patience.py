"""How long tests wait. The limit of a wait tells a hang from progress; it measures no speed, so it is generous."""

PATIENCE = 4  # how much longer than on a quiet machine: two busy cores at half speed have taken three times as long
