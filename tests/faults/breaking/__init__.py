"""What the fault tests break Tweezer with, and how they see whether it is whole again."""
