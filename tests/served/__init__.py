"""The project that servers of the tests serve: settings out of the environment, and its pages."""
