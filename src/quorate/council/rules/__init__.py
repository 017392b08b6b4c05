"""The council's rules: who votes, what passes, and what may follow what. All of them pure."""
