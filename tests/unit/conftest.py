# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of all unit tests."""

from __future__ import annotations

from hypothesis import settings

# A deadline per example fails on a busy machine, and finds no fault.
settings.register_profile("podwright", deadline=None)
settings.load_profile("podwright")
