"""Samplers behind one protocol; the embedded one needs nothing but torch and transformers."""
