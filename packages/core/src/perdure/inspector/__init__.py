"""A page on which to look at what actors have stored, and at how they came to it: `pip install 'perdure[inspect]'`.

`perdure inspect URL` serves it. It reads alone, fetches nothing from elsewhere, and answers nobody without its token.
"""

from perdure.inspector._application import application
from perdure.inspector._serve import serve

__all__ = ["application", "serve"]
