"""An installation of TLJH that was there is taken over in place."""
