#pragma once

#define QNATIVE_API __attribute__((visibility("default")))
