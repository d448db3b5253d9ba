"""Playback: a recorded run seen again on the same screens, by another clock.

`times` says when things are played and `marks` what lies on the timeline, `deck` is the clock, `reel` has the board
after any number of events, `streams` the text of a call as far as it had come; `feed` puts them together and posts
what a live feed would, and `playing` has the operator's actions.
"""
