"""Shops that never were: tables with the truth behind them, made from a seed.

``stream`` puts one of any size into a shop; ``sample`` holds a small one in memory. Every word in it comes from the grammars in ``english`` and
``chinese``, written for this project; no text of any data set is in here.
"""
