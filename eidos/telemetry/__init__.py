"""What a run tells of itself: metrics and traces.

Knows the forms in which others read them; must not know what is measured.
"""
