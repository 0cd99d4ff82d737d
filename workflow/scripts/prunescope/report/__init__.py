"""What people look at: figures for papers and interactive pages.

``base`` holds what all charts share, ``similarity_charts`` and ``network_charts`` the charts themselves.
``page`` lays sections out as one HTML file; ``experiment`` and ``overview`` fill it. ``figures`` draws with
Matplotlib.
"""
