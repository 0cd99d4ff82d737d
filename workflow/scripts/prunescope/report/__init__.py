"""Figures for papers and interactive pages.

``base`` contains the parts that all charts share; ``similarity_charts`` and ``network_charts`` define the
charts. ``page`` lays out sections as one HTML file; ``experiment`` and ``overview`` fill it. ``figures``
draws with Matplotlib.
"""
