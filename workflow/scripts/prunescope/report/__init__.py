"""Interactive pages, and figures for papers from the same charts.

``base`` contains the parts that all charts share; ``similarity_charts``, ``heatmap``, ``level_charts`` and
``network_charts`` define the charts. ``page`` lays out sections as one HTML file; ``experiment`` fills it
with ``cards`` and ``level_sections``, ``overview`` compares experiments. ``figures`` exports for papers.
"""
