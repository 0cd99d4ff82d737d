"""Figures for papers and interactive pages.

``base`` contains the parts that all charts share, ``heatmaps`` those of heatmaps. ``weights``,
``predictions`` and ``landscape`` have the charts of their level and the tables behind them;
``similarity_charts`` has those of representations, ``network_charts`` accuracy and training, and
``network_map`` the map of all networks. What spans the levels is in ``level_charts`` and ``level_tables``,
other tables are in ``page_tables``. ``page`` lays out sections as one HTML file; ``experiment`` and
``overview`` fill it. ``figures`` draws the same charts for papers, in the style of ``paper``.
"""
