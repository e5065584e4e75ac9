# Made by `python -m tests.python.support.proto_vectors`: Python's protobuf wrote the bytes.
# A vector without a message is malformed: Python's protobuf refuses it.
[
  %{
    name: "empty ClientFrame",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.ClientFrame{}
  },
  %{
    name: "empty ServerFrame",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.ServerFrame{}
  },
  %{
    name: "empty CallReply",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.CallReply{}
  },
  %{
    name: "empty Failure",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.Failure{}
  },
  %{
    name: "empty Accepted",
    module: Vllm.Proto.Accepted,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.Accepted{}
  },
  %{
    name: "client hello",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "0a0d08011205302e312e301a02c3a9",
    message: %Vllm.Proto.ClientFrame{
      hello: %Vllm.Proto.ClientHello{protocol_version: 1, client_version: "0.1.0", token: "é"}
    }
  },
  %{
    name: "client hello of a session that was lost",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "0a28080120b0ea012a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    message: %Vllm.Proto.ClientFrame{
      hello: %Vllm.Proto.ClientHello{
        protocol_version: 1,
        disconnect_grace_ms: 30000,
        resume_key:
          <<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
            24, 25, 26, 27, 28, 29, 30, 31>>
      }
    }
  },
  %{
    name: "a client that leaves",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "4001",
    message: %Vllm.Proto.ClientFrame{leaving: true}
  },
  %{
    name: "cancel 0",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "220100",
    message: %Vllm.Proto.ClientFrame{cancels: [0]}
  },
  %{
    name: "reply to call 0",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "2a00",
    message: %Vllm.Proto.CallReply{outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 1",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "220101",
    message: %Vllm.Proto.ClientFrame{cancels: [1]}
  },
  %{
    name: "reply to call 1",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08012a00",
    message: %Vllm.Proto.CallReply{call: 1, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 127",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "22017f",
    message: %Vllm.Proto.ClientFrame{cancels: [127]}
  },
  %{
    name: "reply to call 127",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "087f2a00",
    message: %Vllm.Proto.CallReply{call: 127, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 128",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "22028001",
    message: %Vllm.Proto.ClientFrame{cancels: [128]}
  },
  %{
    name: "reply to call 128",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "0880012a00",
    message: %Vllm.Proto.CallReply{call: 128, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 16383",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "2202ff7f",
    message: %Vllm.Proto.ClientFrame{cancels: [16383]}
  },
  %{
    name: "reply to call 16383",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08ff7f2a00",
    message: %Vllm.Proto.CallReply{call: 16383, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 16384",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "2203808001",
    message: %Vllm.Proto.ClientFrame{cancels: [16384]}
  },
  %{
    name: "reply to call 16384",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "088080012a00",
    message: %Vllm.Proto.CallReply{call: 16384, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 2097151",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "2203ffff7f",
    message: %Vllm.Proto.ClientFrame{cancels: [2_097_151]}
  },
  %{
    name: "reply to call 2097151",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08ffff7f2a00",
    message: %Vllm.Proto.CallReply{call: 2_097_151, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 2097152",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "220480808001",
    message: %Vllm.Proto.ClientFrame{cancels: [2_097_152]}
  },
  %{
    name: "reply to call 2097152",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08808080012a00",
    message: %Vllm.Proto.CallReply{call: 2_097_152, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 268435455",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "2204ffffff7f",
    message: %Vllm.Proto.ClientFrame{cancels: [268_435_455]}
  },
  %{
    name: "reply to call 268435455",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08ffffff7f2a00",
    message: %Vllm.Proto.CallReply{call: 268_435_455, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 268435456",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "22058080808001",
    message: %Vllm.Proto.ClientFrame{cancels: [268_435_456]}
  },
  %{
    name: "reply to call 268435456",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "0880808080012a00",
    message: %Vllm.Proto.CallReply{call: 268_435_456, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 4294967296",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "22058080808010",
    message: %Vllm.Proto.ClientFrame{cancels: [4_294_967_296]}
  },
  %{
    name: "reply to call 4294967296",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "0880808080102a00",
    message: %Vllm.Proto.CallReply{call: 4_294_967_296, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "cancel 18446744073709551615",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes: "220affffffffffffffffff01",
    message: %Vllm.Proto.ClientFrame{cancels: [18_446_744_073_709_551_615]}
  },
  %{
    name: "reply to call 18446744073709551615",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08ffffffffffffffffff012a00",
    message: %Vllm.Proto.CallReply{
      call: 18_446_744_073_709_551_615,
      outcome: {:end, %Vllm.Proto.End{}}
    }
  },
  %{
    name: "all unsigned integers, packed",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes:
      "222900017f8001ff7f808001ffff7f80808001ffffff7f80808080018080808010ffffffffffffffffff01",
    message: %Vllm.Proto.ClientFrame{
      cancels: [
        0,
        1,
        127,
        128,
        16383,
        16384,
        2_097_151,
        2_097_152,
        268_435_455,
        268_435_456,
        4_294_967_296,
        18_446_744_073_709_551_615
      ]
    }
  },
  %{
    name: "item of 0 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08072200",
    message: %Vllm.Proto.CallReply{call: 7, outcome: {:item, <<>>}}
  },
  %{
    name: "value of 0 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08071200",
    message: %Vllm.Proto.CallReply{call: 7, outcome: {:value, <<>>}}
  },
  %{
    name: "item of 1 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "0807220100",
    message: %Vllm.Proto.CallReply{call: 7, outcome: {:item, <<0>>}}
  },
  %{
    name: "value of 1 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08071201ff",
    message: %Vllm.Proto.CallReply{call: 7, outcome: {:value, <<255>>}}
  },
  %{
    name: "item of 127 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "0807227f00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:item,
         <<0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>>}
    }
  },
  %{
    name: "value of 127 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "0807127fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:value,
         <<255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255>>}
    }
  },
  %{
    name: "item of 128 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "08072280010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:item,
         <<0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>>}
    }
  },
  %{
    name: "value of 128 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "0807128001ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:value,
         <<255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255>>}
    }
  },
  %{
    name: "item of 300 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "080722ac02000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:item,
         <<0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0, 0, 0>>}
    }
  },
  %{
    name: "value of 300 bytes",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes:
      "080712ac02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    message: %Vllm.Proto.CallReply{
      call: 7,
      outcome:
        {:value,
         <<255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255>>}
    }
  },
  %{
    name: "call of a reference",
    module: Vllm.Proto.CallRequest,
    canonical: true,
    bytes:
      "0a0265311a206162616261626162616261626162616261626162616261626162616261626162220867656e65726174652a029101388827",
    message: %Vllm.Proto.CallRequest{
      target: {:ref, "e1"},
      incarnation: "abababababababababababababababab",
      method: "generate",
      args: <<145, 1>>,
      timeout_ms: 5000
    }
  },
  %{
    name: "call for texts alone",
    module: Vllm.Proto.CallRequest,
    canonical: true,
    bytes: "0a0265314001",
    message: %Vllm.Proto.CallRequest{target: {:ref, "e1"}, items: :text}
  },
  %{
    name: "call of a class",
    module: Vllm.Proto.CallRequest,
    canonical: true,
    bytes: "12084173796e634c4c4d320180",
    message: %Vllm.Proto.CallRequest{target: {:class_name, "AsyncLLM"}, kwargs: <<128>>}
  },
  %{
    name: "call of a reference without a name",
    module: Vllm.Proto.CallRequest,
    canonical: true,
    bytes: "0a00",
    message: %Vllm.Proto.CallRequest{target: {:ref, ""}}
  },
  %{
    name: "client frame with everything but hello",
    module: Vllm.Proto.ClientFrame,
    canonical: true,
    bytes:
      "123d080112370a0265311a206162616261626162616261626162616261626162616261626162616261626162220867656e65726174652a0291013888271840120208021a04080110201a0508ac021001220205062a026f312a002a026f3232050801120101320408021a00320a080322061204626f6f6d3a026531",
    message: %Vllm.Proto.ClientFrame{
      calls: [
        %Vllm.Proto.StartCall{
          id: 1,
          request: %Vllm.Proto.CallRequest{
            target: {:ref, "e1"},
            incarnation: "abababababababababababababababab",
            method: "generate",
            args: <<145, 1>>,
            timeout_ms: 5000
          },
          credit: 64
        },
        %Vllm.Proto.StartCall{id: 2}
      ],
      credits: [%Vllm.Proto.Credit{call: 1, items: 32}, %Vllm.Proto.Credit{call: 300, items: 1}],
      cancels: [5, 6],
      releases: ["o1", "", "o2"],
      inputs: [
        %Vllm.Proto.Input{call: 1, step: {:element, <<1>>}},
        %Vllm.Proto.Input{call: 2, step: {:end, %Vllm.Proto.End{}}},
        %Vllm.Proto.Input{call: 3, step: {:failure, %Vllm.Proto.Failure{message: "boom"}}}
      ],
      receipts: ["e1"]
    }
  },
  %{
    name: "an input is wanted",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08013a00",
    message: %Vllm.Proto.CallReply{call: 1, outcome: {:input_wanted, %Vllm.Proto.InputWanted{}}}
  },
  %{
    name: "inputs are closed",
    module: Vllm.Proto.CallReply,
    canonical: true,
    bytes: "08014200",
    message: %Vllm.Proto.CallReply{call: 1, outcome: {:inputs_closed, %Vllm.Proto.InputsClosed{}}}
  },
  %{
    name: "server hello",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes:
      "0a3008011205302e312e30222063646364636463646364636463646364636463646364636463646364636463642880808002",
    message: %Vllm.Proto.ServerFrame{
      hello: %Vllm.Proto.ServerHello{
        protocol_version: 1,
        worker_version: "0.1.0",
        incarnation: "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
        pid: 4_194_304
      }
    }
  },
  %{
    name: "server hello of a session that goes on",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes:
      "0a2f08014220000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f4801520161520162520161",
    message: %Vllm.Proto.ServerFrame{
      hello: %Vllm.Proto.ServerHello{
        protocol_version: 1,
        resume_key:
          <<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
            24, 25, 26, 27, 28, 29, 30, 31>>,
        resumed: true,
        held: ["a", "b", "a"]
      }
    }
  },
  %{
    name: "failure with causes",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes:
      "0808121274686520656e67696e6520697320676f6e651a29766c6c6d2e76312e656e67696e652e657863657074696f6e732e456e67696e65446561644572726f722a0b080d2a07120566697273743201803801",
    message: %Vllm.Proto.Failure{
      kind: :engine_dead,
      message: "the engine is gone",
      type: "vllm.v1.engine.exceptions.EngineDeadError",
      cause: %Vllm.Proto.Failure{kind: :python, cause: %Vllm.Proto.Failure{message: "first"}},
      details: <<128>>,
      retryable: true
    }
  },
  %{
    name: "session refused",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes:
      "22530808121274686520656e67696e6520697320676f6e651a29766c6c6d2e76312e656e67696e652e657863657074696f6e732e456e67696e65446561644572726f722a0b080d2a07120566697273743201803801",
    message: %Vllm.Proto.ServerFrame{
      failure: %Vllm.Proto.Failure{
        kind: :engine_dead,
        message: "the engine is gone",
        type: "vllm.v1.engine.exceptions.EngineDeadError",
        cause: %Vllm.Proto.Failure{kind: :python, cause: %Vllm.Proto.Failure{message: "first"}},
        details: <<128>>,
        retryable: true
      }
    }
  },
  %{
    name: "notices",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes:
      "1a060a0408b0ea011a5b12590a02653112530808121274686520656e67696e6520697320676f6e651a29766c6c6d2e76312e656e67696e652e657863657074696f6e732e456e67696e65446561644572726f722a0b080d2a071205666972737432018038011a0c1a0a0a02653110c0a90718031a0a22080a02653110d0f7071a392a370a026531120373716c18808080808080808040220d2f61646170746572732f73716c2a05612e2a2e622a01633a06715f70726f6a42016d1a00",
    message: %Vllm.Proto.ServerFrame{
      notices: [
        %Vllm.Proto.Notice{event: {:draining, %Vllm.Proto.Draining{grace_ms: 30000}}},
        %Vllm.Proto.Notice{
          event:
            {:engine_died,
             %Vllm.Proto.EngineDied{
               ref: "e1",
               failure: %Vllm.Proto.Failure{
                 kind: :engine_dead,
                 message: "the engine is gone",
                 type: "vllm.v1.engine.exceptions.EngineDeadError",
                 cause: %Vllm.Proto.Failure{
                   kind: :python,
                   cause: %Vllm.Proto.Failure{message: "first"}
                 },
                 details: <<128>>,
                 retryable: true
               }
             }}
        },
        %Vllm.Proto.Notice{
          event:
            {:engine_stalled,
             %Vllm.Proto.EngineStalled{ref: "e1", stalled_ms: 120_000, unfinished_requests: 3}}
        },
        %Vllm.Proto.Notice{
          event: {:engine_recovered, %Vllm.Proto.EngineRecovered{ref: "e1", stalled_ms: 130_000}}
        },
        %Vllm.Proto.Notice{
          event:
            {:adapter_partly_used,
             %Vllm.Proto.AdapterPartlyUsed{
               ref: "e1",
               lora_name: "sql",
               lora_int_id: 4_611_686_018_427_387_904,
               lora_path: "/adapters/sql",
               unknown_modules: ["a.*.b", "c"],
               empty_targets: ["q_proj"],
               model_modules: ["m"]
             }}
        },
        %Vllm.Proto.Notice{}
      ]
    }
  },
  %{
    name: "loads",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes: "120508012201782a100a02653110ac0218ffffffff0f20e8072a040a026532",
    message: %Vllm.Proto.ServerFrame{
      replies: [%Vllm.Proto.CallReply{call: 1, outcome: {:item, <<120>>}}],
      loads: [
        %Vllm.Proto.EngineLoad{
          ref: "e1",
          running: 300,
          waiting: 4_294_967_295,
          kv_cache_permille: 1000
        },
        %Vllm.Proto.EngineLoad{ref: "e2"}
      ]
    }
  },
  %{
    name: "failure kind 0",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "",
    message: %Vllm.Proto.Failure{}
  },
  %{
    name: "failure kind 1",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0801",
    message: %Vllm.Proto.Failure{kind: :invalid}
  },
  %{
    name: "failure kind 2",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0802",
    message: %Vllm.Proto.Failure{kind: :not_found}
  },
  %{
    name: "failure kind 3",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0803",
    message: %Vllm.Proto.Failure{kind: :unsupported}
  },
  %{
    name: "failure kind 4",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0804",
    message: %Vllm.Proto.Failure{kind: :conflict}
  },
  %{
    name: "failure kind 5",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0805",
    message: %Vllm.Proto.Failure{kind: :overloaded}
  },
  %{
    name: "failure kind 6",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0806",
    message: %Vllm.Proto.Failure{kind: :timeout}
  },
  %{
    name: "failure kind 7",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0807",
    message: %Vllm.Proto.Failure{kind: :cancelled}
  },
  %{
    name: "failure kind 8",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0808",
    message: %Vllm.Proto.Failure{kind: :engine_dead}
  },
  %{
    name: "failure kind 9",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0809",
    message: %Vllm.Proto.Failure{kind: :engine_error}
  },
  %{
    name: "failure kind 10",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080a",
    message: %Vllm.Proto.Failure{kind: :worker_down}
  },
  %{
    name: "failure kind 11",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080b",
    message: %Vllm.Proto.Failure{kind: :stale_ref}
  },
  %{
    name: "failure kind 12",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080c",
    message: %Vllm.Proto.Failure{kind: :protocol}
  },
  %{
    name: "failure kind 13",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080d",
    message: %Vllm.Proto.Failure{kind: :python}
  },
  %{
    name: "failure kind 14",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080e",
    message: %Vllm.Proto.Failure{kind: :draining}
  },
  %{
    name: "failure kind 15",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "080f",
    message: %Vllm.Proto.Failure{kind: :missing_dependency}
  },
  %{
    name: "failure kind 16",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0810",
    message: %Vllm.Proto.Failure{kind: :http_status}
  },
  %{
    name: "failure kind 17",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0811",
    message: %Vllm.Proto.Failure{kind: :unreachable}
  },
  %{
    name: "failure kind 18",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0812",
    message: %Vllm.Proto.Failure{kind: :unauthenticated}
  },
  %{
    name: "failure kind 19",
    module: Vllm.Proto.Failure,
    canonical: true,
    bytes: "0813",
    message: %Vllm.Proto.Failure{kind: :forbidden}
  },
  %{
    name: "one step of the engine",
    module: Vllm.Proto.ServerFrame,
    canonical: true,
    bytes:
      "120b08e80722066974656d2030120b08e90722066974656d2031120b08ea0722066974656d2032120b08eb0722066974656d2033120b08ec0722066974656d2034120b08ed0722066974656d2035120b08ee0722066974656d2036120b08ef0722066974656d2037120b08f00722066974656d2038120b08f10722066974656d2039120c08f20722076974656d203130120c08f30722076974656d203131120c08f40722076974656d203132120c08f50722076974656d203133120c08f60722076974656d203134120c08f70722076974656d203135120c08f80722076974656d203136120c08f90722076974656d203137120c08fa0722076974656d203138120c08fb0722076974656d203139",
    message: %Vllm.Proto.ServerFrame{
      replies: [
        %Vllm.Proto.CallReply{call: 1000, outcome: {:item, <<105, 116, 101, 109, 32, 48>>}},
        %Vllm.Proto.CallReply{call: 1001, outcome: {:item, <<105, 116, 101, 109, 32, 49>>}},
        %Vllm.Proto.CallReply{call: 1002, outcome: {:item, <<105, 116, 101, 109, 32, 50>>}},
        %Vllm.Proto.CallReply{call: 1003, outcome: {:item, <<105, 116, 101, 109, 32, 51>>}},
        %Vllm.Proto.CallReply{call: 1004, outcome: {:item, <<105, 116, 101, 109, 32, 52>>}},
        %Vllm.Proto.CallReply{call: 1005, outcome: {:item, <<105, 116, 101, 109, 32, 53>>}},
        %Vllm.Proto.CallReply{call: 1006, outcome: {:item, <<105, 116, 101, 109, 32, 54>>}},
        %Vllm.Proto.CallReply{call: 1007, outcome: {:item, <<105, 116, 101, 109, 32, 55>>}},
        %Vllm.Proto.CallReply{call: 1008, outcome: {:item, <<105, 116, 101, 109, 32, 56>>}},
        %Vllm.Proto.CallReply{call: 1009, outcome: {:item, <<105, 116, 101, 109, 32, 57>>}},
        %Vllm.Proto.CallReply{call: 1010, outcome: {:item, <<105, 116, 101, 109, 32, 49, 48>>}},
        %Vllm.Proto.CallReply{call: 1011, outcome: {:item, <<105, 116, 101, 109, 32, 49, 49>>}},
        %Vllm.Proto.CallReply{call: 1012, outcome: {:item, <<105, 116, 101, 109, 32, 49, 50>>}},
        %Vllm.Proto.CallReply{call: 1013, outcome: {:item, <<105, 116, 101, 109, 32, 49, 51>>}},
        %Vllm.Proto.CallReply{call: 1014, outcome: {:item, <<105, 116, 101, 109, 32, 49, 52>>}},
        %Vllm.Proto.CallReply{call: 1015, outcome: {:item, <<105, 116, 101, 109, 32, 49, 53>>}},
        %Vllm.Proto.CallReply{call: 1016, outcome: {:item, <<105, 116, 101, 109, 32, 49, 54>>}},
        %Vllm.Proto.CallReply{call: 1017, outcome: {:item, <<105, 116, 101, 109, 32, 49, 55>>}},
        %Vllm.Proto.CallReply{call: 1018, outcome: {:item, <<105, 116, 101, 109, 32, 49, 56>>}},
        %Vllm.Proto.CallReply{call: 1019, outcome: {:item, <<105, 116, 101, 109, 32, 49, 57>>}}
      ]
    }
  },
  %{
    name: "cancels one by one",
    module: Vllm.Proto.ClientFrame,
    canonical: false,
    bytes: "200120800120ffffffffffffffffff01",
    message: %Vllm.Proto.ClientFrame{cancels: [1, 128, 18_446_744_073_709_551_615]}
  },
  %{
    name: "cancels packed, alone, packed",
    module: Vllm.Proto.ClientFrame,
    canonical: false,
    bytes: "220201022003220104",
    message: %Vllm.Proto.ClientFrame{cancels: [1, 2, 3, 4]}
  },
  %{
    name: "no cancels, packed",
    module: Vllm.Proto.ClientFrame,
    canonical: false,
    bytes: "2200",
    message: %Vllm.Proto.ClientFrame{}
  },
  %{
    name: "unknown varint",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a00696010801",
    message: %Vllm.Proto.Credit{call: 1}
  },
  %{
    name: "unknown 64 bits",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a10601020304050607080801",
    message: %Vllm.Proto.Credit{call: 1}
  },
  %{
    name: "unknown bytes",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a206030102030801",
    message: %Vllm.Proto.Credit{call: 1}
  },
  %{
    name: "unknown 32 bits",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a506010203040801",
    message: %Vllm.Proto.Credit{call: 1}
  },
  %{
    name: "unknown field of an empty message",
    module: Vllm.Proto.End,
    canonical: false,
    bytes: "0a0100",
    message: %Vllm.Proto.End{}
  },
  %{
    name: "number given twice",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "080110050802",
    message: %Vllm.Proto.Credit{call: 2, items: 5}
  },
  %{
    name: "outcome given twice",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "1201611a00220162",
    message: %Vllm.Proto.CallReply{outcome: {:item, <<98>>}}
  },
  %{
    name: "fields in another order",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "10050801",
    message: %Vllm.Proto.Credit{call: 1, items: 5}
  },
  %{
    name: "varints longer than need be",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "088180001085808080808080808000",
    message: %Vllm.Proto.Credit{call: 1, items: 5}
  },
  %{
    name: "length longer than need be",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "12810061",
    message: %Vllm.Proto.CallReply{outcome: {:value, <<97>>}}
  },
  %{
    name: "length of four bytes",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "228180800061",
    message: %Vllm.Proto.CallReply{outcome: {:item, <<97>>}}
  },
  %{
    name: "id of five bytes",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "0880808080102a00",
    message: %Vllm.Proto.CallReply{call: 4_294_967_296, outcome: {:end, %Vllm.Proto.End{}}}
  },
  %{
    name: "too much for 32 bits",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "10ffffffff7f",
    message: %Vllm.Proto.Credit{items: 4_294_967_295}
  },
  %{
    name: "boolean of two",
    module: Vllm.Proto.Failure,
    canonical: false,
    bytes: "3802",
    message: %Vllm.Proto.Failure{retryable: true}
  },
  %{
    name: "unknown failure kind",
    module: Vllm.Proto.Failure,
    canonical: false,
    bytes: "0863",
    message: %Vllm.Proto.Failure{kind: 99}
  },
  %{
    name: "negative failure kind",
    module: Vllm.Proto.Failure,
    canonical: false,
    bytes: "08ffffffffffffffffff01",
    message: %Vllm.Proto.Failure{kind: -1}
  },
  %{
    name: "ends after a tag",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "08",
    message: nil
  },
  %{
    name: "ends within a varint",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "0880",
    message: nil
  },
  %{
    name: "ends within a long varint",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "088080808080",
    message: nil
  },
  %{
    name: "ends within a length",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "1280",
    message: nil
  },
  %{
    name: "ends within bytes",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "12036162",
    message: nil
  },
  %{
    name: "ends within a message",
    module: Vllm.Proto.ServerFrame,
    canonical: false,
    bytes: "12050801",
    message: nil
  },
  %{
    name: "message ends within its field",
    module: Vllm.Proto.ServerFrame,
    canonical: false,
    bytes: "12020880",
    message: nil
  },
  %{
    name: "cause ends within its field",
    module: Vllm.Proto.Failure,
    canonical: false,
    bytes: "2a021205",
    message: nil
  },
  %{
    name: "length beyond everything",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "12ffffffff0f61",
    message: nil
  },
  %{
    name: "varint of eleven bytes",
    module: Vllm.Proto.CallReply,
    canonical: false,
    bytes: "08ffffffffffffffffffff01",
    message: nil
  },
  %{
    name: "packed ends within a varint",
    module: Vllm.Proto.ClientFrame,
    canonical: false,
    bytes: "22020180",
    message: nil
  },
  %{
    name: "unknown 64 bits cut",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a1060102",
    message: nil
  },
  %{
    name: "unknown 32 bits cut",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a50601",
    message: nil
  },
  %{
    name: "field number zero",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "0001",
    message: nil
  },
  %{
    name: "end of a group",
    module: Vllm.Proto.Credit,
    canonical: false,
    bytes: "a406",
    message: nil
  },
  %{name: "wire type 6", module: Vllm.Proto.Credit, canonical: false, bytes: "a606", message: nil}
]
