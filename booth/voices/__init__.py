"""The library of voices, and Coqui's folders."""
