"""Batch -> answer and loss: a pre-trained backbone, small adapters, heads.

Shape letters of the whole project: B rows, L tokens, D width, C choices, V words, N items, K list length.
"""
