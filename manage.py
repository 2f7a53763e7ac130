#!/usr/bin/env python
"""Django's command line for CE Web."""

from ce_web.manage import main

if __name__ == "__main__":
    main()
