"""nano's HuBERT: teacher, units, network."""
