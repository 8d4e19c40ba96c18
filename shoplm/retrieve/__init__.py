"""Which items could be the answer: from what a shopper did, and from what items are, to a few hundred candidates with scores.

``histories`` is what shoppers did, columnar. ``neighbours`` says which items go with which: by who acted on both, in what order, or
by their texts. ``following`` answers for a trained sequence model. ``blend`` asks all sources at once and weighs what they say. No
torch here, and nothing is trained by gradient descent but the weights of the blend: a network comes as arrays.
"""
