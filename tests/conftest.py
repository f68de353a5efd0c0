"""What holds for the whole suite."""

from hypothesis import settings

# No test measures seconds: on a busy machine an example that is slow once says nothing.
settings.register_profile("suite", parent=settings.default, deadline=None)
settings.load_profile("suite")
