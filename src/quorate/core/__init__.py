"""Ground floor: quorum arithmetic, exact numbers, canonical bytes, keys, limits, errors.

Nothing here touches a disk, a socket or a database.
"""
