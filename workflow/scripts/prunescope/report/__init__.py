"""Figures for papers and interactive pages.

``page`` lays out sections as one HTML file, and ``figures`` draws the same charts for papers, in the style
of ``paper``. ``sections`` fills the report of one ``experiment``, ``overview`` the page of several, and
``recorded`` that of a comparison made in a notebook. Charts and the tables behind them are in the module of
what they show: ``cards``, ``differences`` and ``agreement`` span the levels; ``weights``, ``predictions``,
``landscape``, ``representations`` and ``network_map`` are about one; ``network_charts`` has accuracy and
training. ``base`` and ``heatmaps`` have the parts that charts share, ``page_tables`` other tables.
"""
