"""The command lines of a quantizer's training; they import torch only when there is work to do."""
