"""Below the ledger: how its database is opened and locked (`database`), its tables as they are now (`tables`) and the
steps that led there (`versions`). Only `insar_anomaly.ledger` comes in here.
"""
