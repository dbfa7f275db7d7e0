# SPDX-License-Identifier: Apache-2.0
"""Numbers of the TFLite schema by name. Made by tools/generate_schema.py; do not edit."""

from enum import IntEnum

from deploy.tflite.flatbuffer import Child, Children, Scalar, Text, Vector


class ActivationFunctionType(IntEnum):
    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


class BuiltinOperator(IntEnum):
    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEPTH_TO_SPACE = 5
    DEQUANTIZE = 6
    EMBEDDING_LOOKUP = 7
    FLOOR = 8
    FULLY_CONNECTED = 9
    HASHTABLE_LOOKUP = 10
    L2_NORMALIZATION = 11
    L2_POOL_2D = 12
    LOCAL_RESPONSE_NORMALIZATION = 13
    LOGISTIC = 14
    LSH_PROJECTION = 15
    LSTM = 16
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    RNN = 24
    SOFTMAX = 25
    SPACE_TO_DEPTH = 26
    SVDF = 27
    TANH = 28
    CONCAT_EMBEDDINGS = 29
    SKIP_GRAM = 30
    CALL = 31
    CUSTOM = 32
    EMBEDDING_LOOKUP_SPARSE = 33
    PAD = 34
    UNIDIRECTIONAL_SEQUENCE_RNN = 35
    GATHER = 36
    BATCH_TO_SPACE_ND = 37
    SPACE_TO_BATCH_ND = 38
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    UNIDIRECTIONAL_SEQUENCE_LSTM = 44
    STRIDED_SLICE = 45
    BIDIRECTIONAL_SEQUENCE_RNN = 46
    EXP = 47
    TOPK_V2 = 48
    SPLIT = 49
    LOG_SOFTMAX = 50
    DELEGATE = 51
    BIDIRECTIONAL_SEQUENCE_LSTM = 52
    CAST = 53
    PRELU = 54
    MAXIMUM = 55
    ARG_MAX = 56
    MINIMUM = 57
    LESS = 58
    NEG = 59
    PADV2 = 60
    GREATER = 61
    GREATER_EQUAL = 62
    LESS_EQUAL = 63
    SELECT = 64
    SLICE = 65
    SIN = 66
    TRANSPOSE_CONV = 67
    SPARSE_TO_DENSE = 68
    TILE = 69
    EXPAND_DIMS = 70
    EQUAL = 71
    NOT_EQUAL = 72
    LOG = 73
    SUM = 74
    SQRT = 75
    RSQRT = 76
    SHAPE = 77
    POW = 78
    ARG_MIN = 79
    FAKE_QUANT = 80
    REDUCE_PROD = 81
    REDUCE_MAX = 82
    PACK = 83
    LOGICAL_OR = 84
    ONE_HOT = 85
    LOGICAL_AND = 86
    LOGICAL_NOT = 87
    UNPACK = 88
    REDUCE_MIN = 89
    FLOOR_DIV = 90
    REDUCE_ANY = 91
    SQUARE = 92
    ZEROS_LIKE = 93
    FILL = 94
    FLOOR_MOD = 95
    RANGE = 96
    RESIZE_NEAREST_NEIGHBOR = 97
    LEAKY_RELU = 98
    SQUARED_DIFFERENCE = 99
    MIRROR_PAD = 100
    ABS = 101
    SPLIT_V = 102
    UNIQUE = 103
    CEIL = 104
    REVERSE_V2 = 105
    ADD_N = 106
    GATHER_ND = 107
    COS = 108
    WHERE = 109
    RANK = 110
    ELU = 111
    REVERSE_SEQUENCE = 112
    MATRIX_DIAG = 113
    QUANTIZE = 114
    MATRIX_SET_DIAG = 115
    ROUND = 116
    HARD_SWISH = 117
    IF = 118
    WHILE = 119
    NON_MAX_SUPPRESSION_V4 = 120
    NON_MAX_SUPPRESSION_V5 = 121
    SCATTER_ND = 122
    SELECT_V2 = 123
    DENSIFY = 124
    SEGMENT_SUM = 125
    BATCH_MATMUL = 126
    PLACEHOLDER_FOR_GREATER_OP_CODES = 127
    CUMSUM = 128
    CALL_ONCE = 129
    BROADCAST_TO = 130
    RFFT2D = 131
    CONV_3D = 132
    IMAG = 133
    REAL = 134
    COMPLEX_ABS = 135
    HASHTABLE = 136
    HASHTABLE_FIND = 137
    HASHTABLE_IMPORT = 138
    HASHTABLE_SIZE = 139
    REDUCE_ALL = 140
    CONV_3D_TRANSPOSE = 141
    VAR_HANDLE = 142
    READ_VARIABLE = 143
    ASSIGN_VARIABLE = 144
    BROADCAST_ARGS = 145
    RANDOM_STANDARD_NORMAL = 146
    BUCKETIZE = 147
    RANDOM_UNIFORM = 148
    MULTINOMIAL = 149
    GELU = 150
    DYNAMIC_UPDATE_SLICE = 151
    RELU_0_TO_1 = 152
    UNSORTED_SEGMENT_PROD = 153
    UNSORTED_SEGMENT_MAX = 154
    UNSORTED_SEGMENT_SUM = 155
    ATAN2 = 156
    UNSORTED_SEGMENT_MIN = 157
    SIGN = 158
    BITCAST = 159
    BITWISE_XOR = 160
    RIGHT_SHIFT = 161
    STABLEHLO_LOGISTIC = 162
    STABLEHLO_ADD = 163
    STABLEHLO_DIVIDE = 164
    STABLEHLO_MULTIPLY = 165
    STABLEHLO_MAXIMUM = 166
    STABLEHLO_RESHAPE = 167
    STABLEHLO_CLAMP = 168
    STABLEHLO_CONCATENATE = 169
    STABLEHLO_BROADCAST_IN_DIM = 170
    STABLEHLO_CONVOLUTION = 171
    STABLEHLO_SLICE = 172
    STABLEHLO_CUSTOM_CALL = 173
    STABLEHLO_REDUCE = 174
    STABLEHLO_ABS = 175
    STABLEHLO_AND = 176
    STABLEHLO_COSINE = 177
    STABLEHLO_EXPONENTIAL = 178
    STABLEHLO_FLOOR = 179
    STABLEHLO_LOG = 180
    STABLEHLO_MINIMUM = 181
    STABLEHLO_NEGATE = 182
    STABLEHLO_OR = 183
    STABLEHLO_POWER = 184
    STABLEHLO_REMAINDER = 185
    STABLEHLO_RSQRT = 186
    STABLEHLO_SELECT = 187
    STABLEHLO_SUBTRACT = 188
    STABLEHLO_TANH = 189
    STABLEHLO_SCATTER = 190
    STABLEHLO_COMPARE = 191
    STABLEHLO_CONVERT = 192
    STABLEHLO_DYNAMIC_SLICE = 193
    STABLEHLO_DYNAMIC_UPDATE_SLICE = 194
    STABLEHLO_PAD = 195
    STABLEHLO_IOTA = 196
    STABLEHLO_DOT_GENERAL = 197
    STABLEHLO_REDUCE_WINDOW = 198
    STABLEHLO_SORT = 199
    STABLEHLO_WHILE = 200
    STABLEHLO_GATHER = 201
    STABLEHLO_TRANSPOSE = 202
    DILATE = 203
    STABLEHLO_RNG_BIT_GENERATOR = 204
    REDUCE_WINDOW = 205
    STABLEHLO_COMPOSITE = 206
    STABLEHLO_SHIFT_LEFT = 207
    STABLEHLO_CBRT = 208
    STABLEHLO_CASE = 209


class BuiltinOptions(IntEnum):
    NONE = 0
    Conv2DOptions = 1
    DepthwiseConv2DOptions = 2
    Pool2DOptions = 5
    FullyConnectedOptions = 8
    SoftmaxOptions = 9
    ConcatenationOptions = 10
    AddOptions = 11
    ResizeBilinearOptions = 15
    ReshapeOptions = 17
    MulOptions = 21
    PadOptions = 22
    TransposeOptions = 26
    ReducerOptions = 27
    SubOptions = 28
    StridedSliceOptions = 32
    DequantizeOptions = 38
    ResizeNearestNeighborOptions = 74
    QuantizeOptions = 89
    HardSwishOptions = 91


class FullyConnectedOptionsWeightsFormat(IntEnum):
    DEFAULT = 0
    SHUFFLED4x16INT8 = 1


class Padding(IntEnum):
    SAME = 0
    VALID = 1


class TensorType(IntEnum):
    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    STRING = 5
    BOOL = 6
    INT16 = 7
    COMPLEX64 = 8
    INT8 = 9
    FLOAT64 = 10
    COMPLEX128 = 11
    UINT64 = 12
    RESOURCE = 13
    VARIANT = 14
    UINT32 = 15
    UINT16 = 16
    INT4 = 17
    BFLOAT16 = 18
    INT2 = 19
    UINT4 = 20
    FLOAT8_E4M3FN = 21
    FLOAT8_E5M2 = 22


class Buffer:
    DATA = Vector(0, "uint8")
    OFFSET = Scalar(1, "Q", 0)
    SIZE = Scalar(2, "Q", 0)


class Model:
    VERSION = Scalar(0, "I", 0)
    OPERATOR_CODES = Children(1)
    SUBGRAPHS = Children(2)
    DESCRIPTION = Text(3)
    BUFFERS = Children(4)
    METADATA_BUFFER = Vector(5, "int32")
    METADATA = Children(6)
    SIGNATURE_DEFS = Children(7)
    EXTERNAL_BUFFER_GROUPS = Children(8)
    EXTERNAL_BUFFERS = Children(9)


class Operator:
    OPCODE_INDEX = Scalar(0, "I", 0)
    INPUTS = Vector(1, "int32")
    OUTPUTS = Vector(2, "int32")
    BUILTIN_OPTIONS_TYPE = Scalar(3, "B", 0)
    BUILTIN_OPTIONS = Child(4)
    CUSTOM_OPTIONS = Vector(5, "uint8")
    CUSTOM_OPTIONS_FORMAT = Scalar(6, "b", 0)
    MUTATING_VARIABLE_INPUTS = Vector(7, "bool")
    INTERMEDIATES = Vector(8, "int32")
    LARGE_CUSTOM_OPTIONS_OFFSET = Scalar(9, "Q", 0)
    LARGE_CUSTOM_OPTIONS_SIZE = Scalar(10, "Q", 0)
    BUILTIN_OPTIONS2_TYPE = Scalar(11, "B", 0)
    BUILTIN_OPTIONS2 = Child(12)
    DEBUG_METADATA_INDEX = Scalar(13, "i", -1)


class OperatorCode:
    DEPRECATED_BUILTIN_CODE = Scalar(0, "b", 0)
    CUSTOM_CODE = Text(1)
    VERSION = Scalar(2, "i", 1)
    BUILTIN_CODE = Scalar(3, "i", 0)


class QuantizationParameters:
    MIN = Vector(0, "float32")
    MAX = Vector(1, "float32")
    SCALE = Vector(2, "float32")
    ZERO_POINT = Vector(3, "int64")
    DETAILS_TYPE = Scalar(4, "B", 0)
    DETAILS = Child(5)
    QUANTIZED_DIMENSION = Scalar(6, "i", 0)


class SubGraph:
    TENSORS = Children(0)
    INPUTS = Vector(1, "int32")
    OUTPUTS = Vector(2, "int32")
    OPERATORS = Children(3)
    NAME = Text(4)
    DEBUG_METADATA_INDEX = Scalar(5, "i", -1)


class Tensor:
    SHAPE = Vector(0, "int32")
    TYPE = Scalar(1, "b", 0)
    BUFFER = Scalar(2, "I", 0)
    NAME = Text(3)
    QUANTIZATION = Child(4)
    IS_VARIABLE = Scalar(5, "?", 0)
    SPARSITY = Child(6)
    SHAPE_SIGNATURE = Vector(7, "int32")
    HAS_RANK = Scalar(8, "?", 0)
    VARIANT_TENSORS = Children(9)
    EXTERNAL_BUFFER = Scalar(10, "I", 0)


class AddOptions:
    FUSED_ACTIVATION_FUNCTION = Scalar(0, "b", 0)
    POT_SCALE_INT16 = Scalar(1, "?", 1)


class ConcatenationOptions:
    AXIS = Scalar(0, "i", 0)
    FUSED_ACTIVATION_FUNCTION = Scalar(1, "b", 0)


class Conv2DOptions:
    PADDING = Scalar(0, "b", 0)
    STRIDE_W = Scalar(1, "i", 0)
    STRIDE_H = Scalar(2, "i", 0)
    FUSED_ACTIVATION_FUNCTION = Scalar(3, "b", 0)
    DILATION_W_FACTOR = Scalar(4, "i", 1)
    DILATION_H_FACTOR = Scalar(5, "i", 1)
    QUANTIZED_BIAS_TYPE = Scalar(6, "b", 0)


class DepthwiseConv2DOptions:
    PADDING = Scalar(0, "b", 0)
    STRIDE_W = Scalar(1, "i", 0)
    STRIDE_H = Scalar(2, "i", 0)
    DEPTH_MULTIPLIER = Scalar(3, "i", 0)
    FUSED_ACTIVATION_FUNCTION = Scalar(4, "b", 0)
    DILATION_W_FACTOR = Scalar(5, "i", 1)
    DILATION_H_FACTOR = Scalar(6, "i", 1)


class FullyConnectedOptions:
    FUSED_ACTIVATION_FUNCTION = Scalar(0, "b", 0)
    WEIGHTS_FORMAT = Scalar(1, "b", 0)
    KEEP_NUM_DIMS = Scalar(2, "?", 0)
    ASYMMETRIC_QUANTIZE_INPUTS = Scalar(3, "?", 0)
    QUANTIZED_BIAS_TYPE = Scalar(4, "b", 0)
    QUANT_SPEC = Vector(5, "uint8")


class MulOptions:
    FUSED_ACTIVATION_FUNCTION = Scalar(0, "b", 0)


class Pool2DOptions:
    PADDING = Scalar(0, "b", 0)
    STRIDE_W = Scalar(1, "i", 0)
    STRIDE_H = Scalar(2, "i", 0)
    FILTER_WIDTH = Scalar(3, "i", 0)
    FILTER_HEIGHT = Scalar(4, "i", 0)
    FUSED_ACTIVATION_FUNCTION = Scalar(5, "b", 0)


class ReducerOptions:
    KEEP_DIMS = Scalar(0, "?", 0)


class ResizeBilinearOptions:
    ALIGN_CORNERS = Scalar(2, "?", 0)
    HALF_PIXEL_CENTERS = Scalar(3, "?", 0)


class ResizeNearestNeighborOptions:
    ALIGN_CORNERS = Scalar(0, "?", 0)
    HALF_PIXEL_CENTERS = Scalar(1, "?", 0)


class SoftmaxOptions:
    BETA = Scalar(0, "f", 0.0)


class StridedSliceOptions:
    BEGIN_MASK = Scalar(0, "i", 0)
    END_MASK = Scalar(1, "i", 0)
    ELLIPSIS_MASK = Scalar(2, "i", 0)
    NEW_AXIS_MASK = Scalar(3, "i", 0)
    SHRINK_AXIS_MASK = Scalar(4, "i", 0)
    OFFSET = Scalar(5, "?", 0)


class SubOptions:
    FUSED_ACTIVATION_FUNCTION = Scalar(0, "b", 0)
    POT_SCALE_INT16 = Scalar(1, "?", 1)
