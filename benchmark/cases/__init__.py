"""One op at one shape, run by qnative, by every other implementation, and in fp32."""
