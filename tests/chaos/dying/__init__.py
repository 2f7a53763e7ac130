"""An application that is added to an installation under attack: its processes die at points that have names."""
