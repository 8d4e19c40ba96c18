"""Shops that never were: tables with the truth behind them, made from a seed.

``sample`` is the small shop of the demo. Every word in it comes from the grammars in ``english`` and
``chinese``, written for this project; no text of any data set is in here.
"""
