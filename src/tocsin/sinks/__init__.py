"""Where alerts go. One file per destination; writing twice under one alert id is harmless."""
