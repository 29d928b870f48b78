"""The page in the browser: plain HTML, CSS and scripts, served as they are."""
