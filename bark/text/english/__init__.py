"""English read aloud: numbers and signs to words, words to phones. The front end of nano."""
