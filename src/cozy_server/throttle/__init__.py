"""How often somebody may ask.

``address.py`` whose request it is by where it comes from · ``rates.py`` the limits in force · ``throttle.py`` counts each
request and refuses what is too much · ``shared.py`` limits that all processes share, as long as their store answers.
"""
