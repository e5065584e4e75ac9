# Made by `python -m python_worker.gen` from proto/.
# Change proto/vllm_bridge/v1/*.proto, then run it again. Vllm.Core.Wire.Protobuf explains it.

defmodule Vllm.Proto.Items do
  @moduledoc """
  Items says what the items of a stream are.

    * `:unspecified` - what the method yields, such as outputs.
    * `:text` - of each output the text that is new, a value without a patch. Only for a
      request with one completion, as TOKEN_IDS.
    * `:token_ids` - of each output the token ids that are new, an array.
  """

  @typedoc "A member, or the number of one that this version does not know."
  @type t :: :unspecified | :text | :token_ids | integer()

  @doc "Gives the member with this number, or the number itself where there is none."
  @spec from_integer(integer()) :: t
  def from_integer(0), do: :unspecified
  def from_integer(1), do: :text
  def from_integer(2), do: :token_ids
  def from_integer(number) when is_integer(number), do: number

  @doc "Gives the number of a member."
  @spec to_integer(t) :: integer()
  def to_integer(:unspecified), do: 0
  def to_integer(:text), do: 1
  def to_integer(:token_ids), do: 2
  def to_integer(number) when is_integer(number), do: number
end

defmodule Vllm.Proto.FailureKind do
  @moduledoc """
  FailureKind sorts failures by whose fault they are and what to do next.

    * `:invalid` - an argument is wrong; change it.
    * `:not_found` - no such method, adapter, or other thing that was named.
    * `:unsupported` - this engine, platform or bridge cannot do that.
    * `:conflict` - not in this state; another call must come first.
    * `:overloaded` - a limit is reached; try again later.
    * `:timeout` - the deadline passed.
    * `:cancelled` - the client cancelled the call.
    * `:engine_dead` - the engine is gone; build a new one.
    * `:engine_error` - the engine failed this request and lives on.
    * `:worker_down` - the worker is gone or unreachable, or stopped in the middle of the
      call, which may have run in part.
    * `:stale_ref` - the reference is of an earlier worker, was released, or never existed.
    * `:protocol` - the two sides do not understand each other.
    * `:python` - any other Python exception.
    * `:draining` - the worker is stopping and takes no new calls.
    * `:missing_dependency` - an optional library is not installed in the worker.
    * `:http_status` - a server that the call needs answered with an error.
    * `:unreachable` - a server that the call needs cannot be reached.
    * `:unauthenticated` - the client has not shown who it is: its token or its certificate is
      missing, or is not one that the worker knows.
    * `:forbidden` - the client's role does not allow the call.
  """

  @typedoc "A member, or the number of one that this version does not know."
  @type t ::
          :unspecified
          | :invalid
          | :not_found
          | :unsupported
          | :conflict
          | :overloaded
          | :timeout
          | :cancelled
          | :engine_dead
          | :engine_error
          | :worker_down
          | :stale_ref
          | :protocol
          | :python
          | :draining
          | :missing_dependency
          | :http_status
          | :unreachable
          | :unauthenticated
          | :forbidden
          | integer()

  @doc "Gives the member with this number, or the number itself where there is none."
  @spec from_integer(integer()) :: t
  def from_integer(0), do: :unspecified
  def from_integer(1), do: :invalid
  def from_integer(2), do: :not_found
  def from_integer(3), do: :unsupported
  def from_integer(4), do: :conflict
  def from_integer(5), do: :overloaded
  def from_integer(6), do: :timeout
  def from_integer(7), do: :cancelled
  def from_integer(8), do: :engine_dead
  def from_integer(9), do: :engine_error
  def from_integer(10), do: :worker_down
  def from_integer(11), do: :stale_ref
  def from_integer(12), do: :protocol
  def from_integer(13), do: :python
  def from_integer(14), do: :draining
  def from_integer(15), do: :missing_dependency
  def from_integer(16), do: :http_status
  def from_integer(17), do: :unreachable
  def from_integer(18), do: :unauthenticated
  def from_integer(19), do: :forbidden
  def from_integer(number) when is_integer(number), do: number

  @doc "Gives the number of a member."
  @spec to_integer(t) :: integer()
  def to_integer(:unspecified), do: 0
  def to_integer(:invalid), do: 1
  def to_integer(:not_found), do: 2
  def to_integer(:unsupported), do: 3
  def to_integer(:conflict), do: 4
  def to_integer(:overloaded), do: 5
  def to_integer(:timeout), do: 6
  def to_integer(:cancelled), do: 7
  def to_integer(:engine_dead), do: 8
  def to_integer(:engine_error), do: 9
  def to_integer(:worker_down), do: 10
  def to_integer(:stale_ref), do: 11
  def to_integer(:protocol), do: 12
  def to_integer(:python), do: 13
  def to_integer(:draining), do: 14
  def to_integer(:missing_dependency), do: 15
  def to_integer(:http_status), do: 16
  def to_integer(:unreachable), do: 17
  def to_integer(:unauthenticated), do: 18
  def to_integer(:forbidden), do: 19
  def to_integer(number) when is_integer(number), do: number
end

defmodule Vllm.Proto.ClientFrame do
  @moduledoc """
  ClientFrame is what a client sends in a Session. The first frame holds
  `hello` and nothing else. In later frames the lists are carried out in the
  order of their fields, but inputs before cancels.

    * `hello` opens the session.
    * `calls` are started in their order; what waits for nothing is answered at once, and the
      others go on beside each other. So a later call may be carried out before an earlier one
      whose reply has not come.
    * `credits` let streams send more items.
    * `cancels` are the ids of calls that the client no longer wants. An id that has ended, or
      was never used, is ignored.
    * `releases` are the ids of references that the client lets go, once for each time the
      worker sent the reference: see CallReply.references. An unknown id is ignored.
    * `inputs` are elements of arguments that are streams, each sent after the worker has
      asked for it. They may hold references that are released after.
    * `receipts` are the ids of objects that calls of this session have built and that have
      reached whoever called: see CallReply.built. From here on such an object lives until its
      shutdown. An unknown id is ignored.
    * `leaving` - the client ends the session for good, and nothing follows. Its references
      are released at once, also where it has asked for a grace time.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          hello: Vllm.Proto.ClientHello.t() | nil,
          calls: [Vllm.Proto.StartCall.t()],
          credits: [Vllm.Proto.Credit.t()],
          cancels: [non_neg_integer()],
          releases: [String.t()],
          inputs: [Vllm.Proto.Input.t()],
          receipts: [String.t()],
          leaving: boolean()
        }
  defstruct hello: nil,
            calls: [],
            credits: [],
            cancels: [],
            releases: [],
            inputs: [],
            receipts: [],
            leaving: false

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_message(<<0x0A>>, message.hello, &Vllm.Proto.ClientHello.encode/1),
      Protobuf.put_messages(<<0x12>>, message.calls, &Vllm.Proto.StartCall.encode/1),
      Protobuf.put_messages(<<0x1A>>, message.credits, &Vllm.Proto.Credit.encode/1),
      Protobuf.put_packed(<<0x22>>, message.cancels),
      Protobuf.put_all_bytes(<<0x2A>>, message.releases),
      Protobuf.put_messages(<<0x32>>, message.inputs, &Vllm.Proto.Input.encode/1),
      Protobuf.put_all_bytes(<<0x3A>>, message.receipts),
      Protobuf.put_bool(<<0x40>>, message.leaving)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary),
    do: decode(binary, nil, [], [], [], [], [], [], false)

  defp decode(
         <<0x0A, rest::binary>>,
         _hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.ClientHello.decode(value) do
          {:ok, value} ->
            decode(rest, value, calls, credits, cancels, releases, inputs, receipts, leaving)

          {:error, reason} ->
            Protobuf.error("ClientFrame.hello", reason)
        end

      {:error, reason} ->
        Protobuf.error("ClientFrame.hello", reason)
    end
  end

  defp decode(
         <<0x12, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.StartCall.decode(value) do
          {:ok, value} ->
            decode(
              rest,
              hello,
              [value | calls],
              credits,
              cancels,
              releases,
              inputs,
              receipts,
              leaving
            )

          {:error, reason} ->
            Protobuf.error("ClientFrame.calls", reason)
        end

      {:error, reason} ->
        Protobuf.error("ClientFrame.calls", reason)
    end
  end

  defp decode(
         <<0x1A, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Credit.decode(value) do
          {:ok, value} ->
            decode(
              rest,
              hello,
              calls,
              [value | credits],
              cancels,
              releases,
              inputs,
              receipts,
              leaving
            )

          {:error, reason} ->
            Protobuf.error("ClientFrame.credits", reason)
        end

      {:error, reason} ->
        Protobuf.error("ClientFrame.credits", reason)
    end
  end

  defp decode(
         <<0x20, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          hello,
          calls,
          credits,
          [value | cancels],
          releases,
          inputs,
          receipts,
          leaving
        )

      {:error, reason} ->
        Protobuf.error("ClientFrame.cancels", reason)
    end
  end

  defp decode(
         <<0x22, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_packed(rest, cancels) do
      {:ok, cancels, rest} ->
        decode(rest, hello, calls, credits, cancels, releases, inputs, receipts, leaving)

      {:error, reason} ->
        Protobuf.error("ClientFrame.cancels", reason)
    end
  end

  defp decode(
         <<0x2A, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          hello,
          calls,
          credits,
          cancels,
          [value | releases],
          inputs,
          receipts,
          leaving
        )

      {:error, reason} ->
        Protobuf.error("ClientFrame.releases", reason)
    end
  end

  defp decode(
         <<0x32, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Input.decode(value) do
          {:ok, value} ->
            decode(
              rest,
              hello,
              calls,
              credits,
              cancels,
              releases,
              [value | inputs],
              receipts,
              leaving
            )

          {:error, reason} ->
            Protobuf.error("ClientFrame.inputs", reason)
        end

      {:error, reason} ->
        Protobuf.error("ClientFrame.inputs", reason)
    end
  end

  defp decode(
         <<0x3A, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         leaving
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          hello,
          calls,
          credits,
          cancels,
          releases,
          inputs,
          [value | receipts],
          leaving
        )

      {:error, reason} ->
        Protobuf.error("ClientFrame.receipts", reason)
    end
  end

  defp decode(
         <<0x40, rest::binary>>,
         hello,
         calls,
         credits,
         cancels,
         releases,
         inputs,
         receipts,
         _leaving
       ) do
    case Protobuf.take_bool(rest) do
      {:ok, value, rest} ->
        decode(rest, hello, calls, credits, cancels, releases, inputs, receipts, value)

      {:error, reason} ->
        Protobuf.error("ClientFrame.leaving", reason)
    end
  end

  defp decode(<<>>, hello, calls, credits, cancels, releases, inputs, receipts, leaving),
    do:
      {:ok,
       %__MODULE__{
         hello: hello,
         calls: :lists.reverse(calls),
         credits: :lists.reverse(credits),
         cancels: :lists.reverse(cancels),
         releases: :lists.reverse(releases),
         inputs: :lists.reverse(inputs),
         receipts: :lists.reverse(receipts),
         leaving: leaving
       }}

  defp decode(binary, hello, calls, credits, cancels, releases, inputs, receipts, leaving) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7, 8]) do
      {:ok, rest} ->
        decode(rest, hello, calls, credits, cancels, releases, inputs, receipts, leaving)

      {:error, reason} ->
        Protobuf.error("ClientFrame", reason)
    end
  end
end

defmodule Vllm.Proto.ServerFrame do
  @moduledoc """
  ServerFrame is what the worker sends in a Session. The first frame holds
  `hello`, or `failure` when the session is refused.

    * `hello` answers the client's hello.
    * `replies` are in the order in which they became ready.
    * `notices` tell what happened to the worker or to an engine, unasked.
    * `failure` ends the session: nothing follows it.
    * `loads` say how much the engines have to do, unasked: an engine is among them when its
      load has changed, and ten times a second at most. They come with a frame that is sent
      anyway; alone only when none is.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          hello: Vllm.Proto.ServerHello.t() | nil,
          replies: [Vllm.Proto.CallReply.t()],
          notices: [Vllm.Proto.Notice.t()],
          failure: Vllm.Proto.Failure.t() | nil,
          loads: [Vllm.Proto.EngineLoad.t()]
        }
  defstruct hello: nil, replies: [], notices: [], failure: nil, loads: []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_message(<<0x0A>>, message.hello, &Vllm.Proto.ServerHello.encode/1),
      Protobuf.put_messages(<<0x12>>, message.replies, &Vllm.Proto.CallReply.encode/1),
      Protobuf.put_messages(<<0x1A>>, message.notices, &Vllm.Proto.Notice.encode/1),
      Protobuf.put_message(<<0x22>>, message.failure, &Vllm.Proto.Failure.encode/1),
      Protobuf.put_messages(<<0x2A>>, message.loads, &Vllm.Proto.EngineLoad.encode/1)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, nil, [], [], nil, [])

  defp decode(
         <<0x0A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         _hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.ServerHello.decode(value) do
      {:ok, value} -> decode(rest, value, replies, notices, failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.hello", reason)
    end
  end

  defp decode(
         <<0x0A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         _hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.ServerHello.decode(value) do
      {:ok, value} -> decode(rest, value, replies, notices, failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.hello", reason)
    end
  end

  defp decode(<<0x0A, rest::binary>>, _hello, replies, notices, failure, loads) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.ServerHello.decode(value) do
          {:ok, value} -> decode(rest, value, replies, notices, failure, loads)
          {:error, reason} -> Protobuf.error("ServerFrame.hello", reason)
        end

      {:error, reason} ->
        Protobuf.error("ServerFrame.hello", reason)
    end
  end

  defp decode(
         <<0x12, 0::1, size::7, value::binary-size(size), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.CallReply.decode(value) do
      {:ok, value} -> decode(rest, hello, [value | replies], notices, failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.replies", reason)
    end
  end

  defp decode(
         <<0x12, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.CallReply.decode(value) do
      {:ok, value} -> decode(rest, hello, [value | replies], notices, failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.replies", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, hello, replies, notices, failure, loads) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.CallReply.decode(value) do
          {:ok, value} -> decode(rest, hello, [value | replies], notices, failure, loads)
          {:error, reason} -> Protobuf.error("ServerFrame.replies", reason)
        end

      {:error, reason} ->
        Protobuf.error("ServerFrame.replies", reason)
    end
  end

  defp decode(
         <<0x1A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.Notice.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, [value | notices], failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.notices", reason)
    end
  end

  defp decode(
         <<0x1A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.Notice.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, [value | notices], failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.notices", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, hello, replies, notices, failure, loads) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Notice.decode(value) do
          {:ok, value} -> decode(rest, hello, replies, [value | notices], failure, loads)
          {:error, reason} -> Protobuf.error("ServerFrame.notices", reason)
        end

      {:error, reason} ->
        Protobuf.error("ServerFrame.notices", reason)
    end
  end

  defp decode(
         <<0x22, 0::1, size::7, value::binary-size(size), rest::binary>>,
         hello,
         replies,
         notices,
         _failure,
         loads
       ) do
    case Vllm.Proto.Failure.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, notices, value, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.failure", reason)
    end
  end

  defp decode(
         <<0x22, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         hello,
         replies,
         notices,
         _failure,
         loads
       ) do
    case Vllm.Proto.Failure.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, notices, value, loads)
      {:error, reason} -> Protobuf.error("ServerFrame.failure", reason)
    end
  end

  defp decode(<<0x22, rest::binary>>, hello, replies, notices, _failure, loads) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Failure.decode(value) do
          {:ok, value} -> decode(rest, hello, replies, notices, value, loads)
          {:error, reason} -> Protobuf.error("ServerFrame.failure", reason)
        end

      {:error, reason} ->
        Protobuf.error("ServerFrame.failure", reason)
    end
  end

  defp decode(
         <<0x2A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.EngineLoad.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, notices, failure, [value | loads])
      {:error, reason} -> Protobuf.error("ServerFrame.loads", reason)
    end
  end

  defp decode(
         <<0x2A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         hello,
         replies,
         notices,
         failure,
         loads
       ) do
    case Vllm.Proto.EngineLoad.decode(value) do
      {:ok, value} -> decode(rest, hello, replies, notices, failure, [value | loads])
      {:error, reason} -> Protobuf.error("ServerFrame.loads", reason)
    end
  end

  defp decode(<<0x2A, rest::binary>>, hello, replies, notices, failure, loads) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.EngineLoad.decode(value) do
          {:ok, value} -> decode(rest, hello, replies, notices, failure, [value | loads])
          {:error, reason} -> Protobuf.error("ServerFrame.loads", reason)
        end

      {:error, reason} ->
        Protobuf.error("ServerFrame.loads", reason)
    end
  end

  defp decode(<<>>, hello, replies, notices, failure, loads),
    do:
      {:ok,
       %__MODULE__{
         hello: hello,
         replies: :lists.reverse(replies),
         notices: :lists.reverse(notices),
         failure: failure,
         loads: :lists.reverse(loads)
       }}

  defp decode(binary, hello, replies, notices, failure, loads) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5]) do
      {:ok, rest} -> decode(rest, hello, replies, notices, failure, loads)
      {:error, reason} -> Protobuf.error("ServerFrame", reason)
    end
  end
end

defmodule Vllm.Proto.ClientHello do
  @moduledoc """
  ClientHello introduces a client.

    * `protocol_version` must equal the worker's.
    * `client_version` is the client library's own version, for logs.
    * `token` must equal the worker's token where the worker has one.
    * `disconnect_grace_ms` is how long the references of this session are kept when it is
      lost, for another session to take them over. 0 for not at all; a worker keeps them for
      an hour at most. Calls end with their session.
    * `resume_key` is that of a session that was lost (ServerHello.resume_key): the new one
      takes its references over. Empty for none. A session that is still open, because the
      worker does not know of the loss yet, is closed.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          protocol_version: non_neg_integer(),
          client_version: String.t(),
          token: String.t(),
          disconnect_grace_ms: non_neg_integer(),
          resume_key: iodata()
        }
  defstruct protocol_version: 0,
            client_version: "",
            token: "",
            disconnect_grace_ms: 0,
            resume_key: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.protocol_version),
      Protobuf.put_bytes(<<0x12>>, message.client_version),
      Protobuf.put_bytes(<<0x1A>>, message.token),
      Protobuf.put_uint(<<0x20>>, message.disconnect_grace_ms),
      Protobuf.put_bytes(<<0x2A>>, message.resume_key)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0, "", "", 0, "")

  defp decode(
         <<0x08, rest::binary>>,
         _protocol_version,
         client_version,
         token,
         disconnect_grace_ms,
         resume_key
       ) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} ->
        decode(rest, value, client_version, token, disconnect_grace_ms, resume_key)

      {:error, reason} ->
        Protobuf.error("ClientHello.protocol_version", reason)
    end
  end

  defp decode(
         <<0x12, rest::binary>>,
         protocol_version,
         _client_version,
         token,
         disconnect_grace_ms,
         resume_key
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, protocol_version, value, token, disconnect_grace_ms, resume_key)

      {:error, reason} ->
        Protobuf.error("ClientHello.client_version", reason)
    end
  end

  defp decode(
         <<0x1A, rest::binary>>,
         protocol_version,
         client_version,
         _token,
         disconnect_grace_ms,
         resume_key
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, protocol_version, client_version, value, disconnect_grace_ms, resume_key)

      {:error, reason} ->
        Protobuf.error("ClientHello.token", reason)
    end
  end

  defp decode(
         <<0x20, rest::binary>>,
         protocol_version,
         client_version,
         token,
         _disconnect_grace_ms,
         resume_key
       ) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} ->
        decode(rest, protocol_version, client_version, token, value, resume_key)

      {:error, reason} ->
        Protobuf.error("ClientHello.disconnect_grace_ms", reason)
    end
  end

  defp decode(
         <<0x2A, rest::binary>>,
         protocol_version,
         client_version,
         token,
         disconnect_grace_ms,
         _resume_key
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, protocol_version, client_version, token, disconnect_grace_ms, value)

      {:error, reason} ->
        Protobuf.error("ClientHello.resume_key", reason)
    end
  end

  defp decode(<<>>, protocol_version, client_version, token, disconnect_grace_ms, resume_key),
    do:
      {:ok,
       %__MODULE__{
         protocol_version: protocol_version,
         client_version: client_version,
         token: token,
         disconnect_grace_ms: disconnect_grace_ms,
         resume_key: resume_key
       }}

  defp decode(binary, protocol_version, client_version, token, disconnect_grace_ms, resume_key) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5]) do
      {:ok, rest} ->
        decode(rest, protocol_version, client_version, token, disconnect_grace_ms, resume_key)

      {:error, reason} ->
        Protobuf.error("ClientHello", reason)
    end
  end
end

defmodule Vllm.Proto.ServerHello do
  @moduledoc """
  ServerHello introduces the worker.

    * `worker_version` is the version of the python_worker package.
    * `vllm_version` is the installed vLLM's, empty when none is installed. It is read from
      the package's metadata: vLLM may not be imported yet.
    * `incarnation` names this run of the worker: 32 hex digits. References carry it, so that
      none outlives the worker unnoticed.
    * `pid` is the worker's operating system process id.
    * `grpc_address` is where the worker serves gRPC: unix:PATH or tcp:HOST:PORT, as a URI:
      each byte of a path that is no letter, digit or one of /._-~ is written as %XX, as
      gRPC's clients take it. It is set in a session on the sessions' listener; empty when
      gRPC is off.
    * `session_address` is the sessions' listener, as a URI too. It is set in a session that
      was opened over gRPC, so that a client that wants the other one learns of it.
    * `resume_key` lets a later session take over the references of this one: random, good for
      one use, and only with the token and the certificate that this session was opened with.
      Empty when the client has asked for no grace time.
    * `resumed` - this session has the references of the one whose key the client has sent.
      False also when its grace time is over or the key is not known: that is no error, and
      the session begins without any.
    * `held` are the ids of the references that were taken over, each as often as the worker
      counts it. What the client does not know of, because a reply or a release was lost, it
      releases.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          protocol_version: non_neg_integer(),
          worker_version: String.t(),
          vllm_version: String.t(),
          incarnation: String.t(),
          pid: non_neg_integer(),
          grpc_address: String.t(),
          session_address: String.t(),
          resume_key: iodata(),
          resumed: boolean(),
          held: [String.t()]
        }
  defstruct protocol_version: 0,
            worker_version: "",
            vllm_version: "",
            incarnation: "",
            pid: 0,
            grpc_address: "",
            session_address: "",
            resume_key: "",
            resumed: false,
            held: []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.protocol_version),
      Protobuf.put_bytes(<<0x12>>, message.worker_version),
      Protobuf.put_bytes(<<0x1A>>, message.vllm_version),
      Protobuf.put_bytes(<<0x22>>, message.incarnation),
      Protobuf.put_uint(<<0x28>>, message.pid),
      Protobuf.put_bytes(<<0x32>>, message.grpc_address),
      Protobuf.put_bytes(<<0x3A>>, message.session_address),
      Protobuf.put_bytes(<<0x42>>, message.resume_key),
      Protobuf.put_bool(<<0x48>>, message.resumed),
      Protobuf.put_all_bytes(<<0x52>>, message.held)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary),
    do: decode(binary, 0, "", "", "", 0, "", "", "", false, [])

  defp decode(
         <<0x08, rest::binary>>,
         _protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          value,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.protocol_version", reason)
    end
  end

  defp decode(
         <<0x12, rest::binary>>,
         protocol_version,
         _worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          value,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.worker_version", reason)
    end
  end

  defp decode(
         <<0x1A, rest::binary>>,
         protocol_version,
         worker_version,
         _vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          value,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.vllm_version", reason)
    end
  end

  defp decode(
         <<0x22, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         _incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          value,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.incarnation", reason)
    end
  end

  defp decode(
         <<0x28, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         _pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          value,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.pid", reason)
    end
  end

  defp decode(
         <<0x32, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         _grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          value,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.grpc_address", reason)
    end
  end

  defp decode(
         <<0x3A, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         _session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          value,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.session_address", reason)
    end
  end

  defp decode(
         <<0x42, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         _resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          value,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.resume_key", reason)
    end
  end

  defp decode(
         <<0x48, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         _resumed,
         held
       ) do
    case Protobuf.take_bool(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          value,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.resumed", reason)
    end
  end

  defp decode(
         <<0x52, rest::binary>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          [value | held]
        )

      {:error, reason} ->
        Protobuf.error("ServerHello.held", reason)
    end
  end

  defp decode(
         <<>>,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ),
       do:
         {:ok,
          %__MODULE__{
            protocol_version: protocol_version,
            worker_version: worker_version,
            vllm_version: vllm_version,
            incarnation: incarnation,
            pid: pid,
            grpc_address: grpc_address,
            session_address: session_address,
            resume_key: resume_key,
            resumed: resumed,
            held: :lists.reverse(held)
          }}

  defp decode(
         binary,
         protocol_version,
         worker_version,
         vllm_version,
         incarnation,
         pid,
         grpc_address,
         session_address,
         resume_key,
         resumed,
         held
       ) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) do
      {:ok, rest} ->
        decode(
          rest,
          protocol_version,
          worker_version,
          vllm_version,
          incarnation,
          pid,
          grpc_address,
          session_address,
          resume_key,
          resumed,
          held
        )

      {:error, reason} ->
        Protobuf.error("ServerHello", reason)
    end
  end
end

defmodule Vllm.Proto.StartCall do
  @moduledoc """
  StartCall starts a call in a Session.

    * `id` is chosen by the client, above zero and never used again in the session.
    * `credit` is how many items the stream may send before it needs a Credit. A call that
      returns a value needs none.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          id: non_neg_integer(),
          request: Vllm.Proto.CallRequest.t() | nil,
          credit: non_neg_integer()
        }
  defstruct id: 0, request: nil, credit: 0

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.id),
      Protobuf.put_message(<<0x12>>, message.request, &Vllm.Proto.CallRequest.encode/1),
      Protobuf.put_uint(<<0x18>>, message.credit)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0, nil, 0)

  defp decode(<<0x08, rest::binary>>, _id, request, credit) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, value, request, credit)
      {:error, reason} -> Protobuf.error("StartCall.id", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, id, _request, credit) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.CallRequest.decode(value) do
          {:ok, value} -> decode(rest, id, value, credit)
          {:error, reason} -> Protobuf.error("StartCall.request", reason)
        end

      {:error, reason} ->
        Protobuf.error("StartCall.request", reason)
    end
  end

  defp decode(<<0x18, rest::binary>>, id, request, _credit) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, id, request, value)
      {:error, reason} -> Protobuf.error("StartCall.credit", reason)
    end
  end

  defp decode(<<>>, id, request, credit),
    do: {:ok, %__MODULE__{id: id, request: request, credit: credit}}

  defp decode(binary, id, request, credit) do
    case Protobuf.skip(binary, [1, 2, 3]) do
      {:ok, rest} -> decode(rest, id, request, credit)
      {:error, reason} -> Protobuf.error("StartCall", reason)
    end
  end
end

defmodule Vllm.Proto.CallRequest do
  @moduledoc """
  CallRequest names a method of an object and its arguments.

    * `{:ref, _}` in `target` is the id of a reference the worker sent.
    * `{:class_name, _}` in `target` is that of a class the worker serves, for its class
      methods: "AsyncLLM" or "Worker".
    * `incarnation` is the one carried by the reference; empty for a class.
    * `method` is the Python name of a public method or property.
    * `args` is a value: an array of the positional arguments. Empty means none. In a Session
      one argument of a call may be a stream: see Input.
    * `kwargs` is a value: a map from parameter names. Empty means none.
    * `timeout_ms` ends the call with FAILURE_KIND_TIMEOUT after so many milliseconds, counted
      from its arrival. 0 means no limit.
    * `items` says what the items of a stream are. Only a method whose items are vLLM's
      outputs of a generation takes anything but the default.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          target: {:ref, String.t()} | {:class_name, String.t()} | nil,
          incarnation: String.t(),
          method: String.t(),
          args: iodata(),
          kwargs: iodata(),
          timeout_ms: non_neg_integer(),
          items: Vllm.Proto.Items.t()
        }
  defstruct target: nil,
            incarnation: "",
            method: "",
            args: "",
            kwargs: "",
            timeout_ms: 0,
            items: :unspecified

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      case message.target do
        nil -> []
        {:ref, value} -> Protobuf.set_bytes(<<0x0A>>, value)
        {:class_name, value} -> Protobuf.set_bytes(<<0x12>>, value)
      end,
      Protobuf.put_bytes(<<0x1A>>, message.incarnation),
      Protobuf.put_bytes(<<0x22>>, message.method),
      Protobuf.put_bytes(<<0x2A>>, message.args),
      Protobuf.put_bytes(<<0x32>>, message.kwargs),
      Protobuf.put_uint(<<0x38>>, message.timeout_ms),
      Protobuf.put_uint(<<0x40>>, Vllm.Proto.Items.to_integer(message.items))
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary),
    do: decode(binary, nil, "", "", "", "", 0, :unspecified)

  defp decode(
         <<0x0A, rest::binary>>,
         _target,
         incarnation,
         method,
         args,
         kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, {:ref, value}, incarnation, method, args, kwargs, timeout_ms, items)

      {:error, reason} ->
        Protobuf.error("CallRequest.ref", reason)
    end
  end

  defp decode(
         <<0x12, rest::binary>>,
         _target,
         incarnation,
         method,
         args,
         kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, {:class_name, value}, incarnation, method, args, kwargs, timeout_ms, items)

      {:error, reason} ->
        Protobuf.error("CallRequest.class_name", reason)
    end
  end

  defp decode(
         <<0x1A, rest::binary>>,
         target,
         _incarnation,
         method,
         args,
         kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, target, value, method, args, kwargs, timeout_ms, items)
      {:error, reason} -> Protobuf.error("CallRequest.incarnation", reason)
    end
  end

  defp decode(
         <<0x22, rest::binary>>,
         target,
         incarnation,
         _method,
         args,
         kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, target, incarnation, value, args, kwargs, timeout_ms, items)

      {:error, reason} ->
        Protobuf.error("CallRequest.method", reason)
    end
  end

  defp decode(
         <<0x2A, rest::binary>>,
         target,
         incarnation,
         method,
         _args,
         kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, target, incarnation, method, value, kwargs, timeout_ms, items)

      {:error, reason} ->
        Protobuf.error("CallRequest.args", reason)
    end
  end

  defp decode(
         <<0x32, rest::binary>>,
         target,
         incarnation,
         method,
         args,
         _kwargs,
         timeout_ms,
         items
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, target, incarnation, method, args, value, timeout_ms, items)

      {:error, reason} ->
        Protobuf.error("CallRequest.kwargs", reason)
    end
  end

  defp decode(
         <<0x38, rest::binary>>,
         target,
         incarnation,
         method,
         args,
         kwargs,
         _timeout_ms,
         items
       ) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, target, incarnation, method, args, kwargs, value, items)
      {:error, reason} -> Protobuf.error("CallRequest.timeout_ms", reason)
    end
  end

  defp decode(
         <<0x40, rest::binary>>,
         target,
         incarnation,
         method,
         args,
         kwargs,
         timeout_ms,
         _items
       ) do
    case Protobuf.take_enum(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          target,
          incarnation,
          method,
          args,
          kwargs,
          timeout_ms,
          Vllm.Proto.Items.from_integer(value)
        )

      {:error, reason} ->
        Protobuf.error("CallRequest.items", reason)
    end
  end

  defp decode(<<>>, target, incarnation, method, args, kwargs, timeout_ms, items),
    do:
      {:ok,
       %__MODULE__{
         target: target,
         incarnation: incarnation,
         method: method,
         args: args,
         kwargs: kwargs,
         timeout_ms: timeout_ms,
         items: items
       }}

  defp decode(binary, target, incarnation, method, args, kwargs, timeout_ms, items) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7, 8]) do
      {:ok, rest} -> decode(rest, target, incarnation, method, args, kwargs, timeout_ms, items)
      {:error, reason} -> Protobuf.error("CallRequest", reason)
    end
  end
end

defmodule Vllm.Proto.CallReply do
  @moduledoc """
  CallReply is one step of a call. A call that returns gets one `value`; a
  call that streams gets `accepted`, `item` any number of times, and `end`.
  Either may get `failure` instead, which is the last reply.

    * `call` is the id from StartCall; 0 outside of a Session.
    * `{:value, _}` in `outcome` is what the method returned.
    * `{:accepted, _}` in `outcome` - the engine has taken the request; items follow.
    * `{:item, _}` in `outcome` is a value. Within one stream an item may be a patch of the
      item before it: see the codec's table.
    * `{:end, _}` in `outcome` - the stream is complete.
    * `{:failure, _}` in `outcome` - the call has failed and is over.
    * `{:input_wanted, _}` in `outcome` asks for the next Input of the call. There is one at
      most on its way. This and inputs_closed may come before, between and after the other
      replies: what a call returned may go on reading.
    * `{:inputs_closed, _}` in `outcome` - no Input of the call is wanted any more. It comes
      once, unless the client's `end` or `failure` came before.
    * `{:progress, _}` in `outcome` tells how far a call has come that returns a value at its
      end. Only some methods of `LLM` send it.
    * `references` are the ids of the references within `value` or `item`, each as often as it
      occurs. No other reply has any. From here on the worker keeps the objects for the
      client, which releases each id as often as it came: in a Session by `releases`, else by
      the method `release` of the class Worker. The end of a Session releases all of its
      references, after the grace time that the client has asked for. A reply that nobody
      reads any more (its call was cancelled, its caller has ended) is released by this list,
      without decoding the value. What the worker did not send (the call was cancelled before,
      or the value could not be encoded) it releases itself.
    * `built` - the call has built the object of the one reference in `value`, and the object
      lives until its method `shutdown` is called, also when no client holds it: an engine. A
      client that does not want the value shuts it down. In a Session, one that wants it sends
      a receipt (ClientFrame.receipts): what has none when the session ends is shut down,
      because the reply may have been lost with it. Without a session an object lives once its
      reply was written.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          call: non_neg_integer(),
          outcome:
            {:value, iodata()}
            | {:accepted, Vllm.Proto.Accepted.t()}
            | {:item, iodata()}
            | {:end, Vllm.Proto.End.t()}
            | {:failure, Vllm.Proto.Failure.t()}
            | {:input_wanted, Vllm.Proto.InputWanted.t()}
            | {:inputs_closed, Vllm.Proto.InputsClosed.t()}
            | {:progress, Vllm.Proto.Progress.t()}
            | nil,
          references: [String.t()],
          built: boolean()
        }
  defstruct call: 0, outcome: nil, references: [], built: false

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.call),
      case message.outcome do
        nil ->
          []

        {:value, value} ->
          Protobuf.set_bytes(<<0x12>>, value)

        {:accepted, value} ->
          Protobuf.set_bytes(<<0x1A>>, Vllm.Proto.Accepted.encode(value))

        {:item, value} ->
          Protobuf.set_bytes(<<0x22>>, value)

        {:end, value} ->
          Protobuf.set_bytes(<<0x2A>>, Vllm.Proto.End.encode(value))

        {:failure, value} ->
          Protobuf.set_bytes(<<0x32>>, Vllm.Proto.Failure.encode(value))

        {:input_wanted, value} ->
          Protobuf.set_bytes(<<0x3A>>, Vllm.Proto.InputWanted.encode(value))

        {:inputs_closed, value} ->
          Protobuf.set_bytes(<<0x42>>, Vllm.Proto.InputsClosed.encode(value))

        {:progress, value} ->
          Protobuf.set_bytes(<<0x5A>>, Vllm.Proto.Progress.encode(value))
      end,
      Protobuf.put_all_bytes(<<0x4A>>, message.references),
      Protobuf.put_bool(<<0x50>>, message.built)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0, nil, [], false)

  defp decode(<<0x08, 0::1, a::7, rest::binary>>, _call, outcome, references, built),
    do: decode(rest, a, outcome, references, built)

  defp decode(<<0x08, 1::1, a::7, 0::1, b::7, rest::binary>>, _call, outcome, references, built),
    do: decode(rest, a + b * 0x80, outcome, references, built)

  defp decode(
         <<0x08, 1::1, a::7, 1::1, b::7, 0::1, c::7, rest::binary>>,
         _call,
         outcome,
         references,
         built
       ),
       do: decode(rest, a + b * 0x80 + c * 0x4000, outcome, references, built)

  defp decode(
         <<0x08, 1::1, a::7, 1::1, b::7, 1::1, c::7, 0::1, d::7, rest::binary>>,
         _call,
         outcome,
         references,
         built
       ),
       do: decode(rest, a + b * 0x80 + c * 0x4000 + d * 0x20_0000, outcome, references, built)

  defp decode(<<0x08, rest::binary>>, _call, outcome, references, built) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, value, outcome, references, built)
      {:error, reason} -> Protobuf.error("CallReply.call", reason)
    end
  end

  defp decode(
         <<0x12, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ),
       do: decode(rest, call, {:value, value}, references, built)

  defp decode(
         <<0x12, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ),
       do: decode(rest, call, {:value, value}, references, built)

  defp decode(<<0x12, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, call, {:value, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.value", reason)
    end
  end

  defp decode(
         <<0x1A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Accepted.decode(value) do
      {:ok, value} -> decode(rest, call, {:accepted, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.accepted", reason)
    end
  end

  defp decode(
         <<0x1A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Accepted.decode(value) do
      {:ok, value} -> decode(rest, call, {:accepted, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.accepted", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Accepted.decode(value) do
          {:ok, value} -> decode(rest, call, {:accepted, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.accepted", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.accepted", reason)
    end
  end

  defp decode(
         <<0x22, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ),
       do: decode(rest, call, {:item, value}, references, built)

  defp decode(
         <<0x22, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ),
       do: decode(rest, call, {:item, value}, references, built)

  defp decode(<<0x22, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, call, {:item, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.item", reason)
    end
  end

  defp decode(
         <<0x2A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.End.decode(value) do
      {:ok, value} -> decode(rest, call, {:end, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.end", reason)
    end
  end

  defp decode(
         <<0x2A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.End.decode(value) do
      {:ok, value} -> decode(rest, call, {:end, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.end", reason)
    end
  end

  defp decode(<<0x2A, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.End.decode(value) do
          {:ok, value} -> decode(rest, call, {:end, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.end", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.end", reason)
    end
  end

  defp decode(
         <<0x32, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Failure.decode(value) do
      {:ok, value} -> decode(rest, call, {:failure, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.failure", reason)
    end
  end

  defp decode(
         <<0x32, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Failure.decode(value) do
      {:ok, value} -> decode(rest, call, {:failure, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.failure", reason)
    end
  end

  defp decode(<<0x32, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Failure.decode(value) do
          {:ok, value} -> decode(rest, call, {:failure, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.failure", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.failure", reason)
    end
  end

  defp decode(
         <<0x3A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.InputWanted.decode(value) do
      {:ok, value} -> decode(rest, call, {:input_wanted, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.input_wanted", reason)
    end
  end

  defp decode(
         <<0x3A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.InputWanted.decode(value) do
      {:ok, value} -> decode(rest, call, {:input_wanted, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.input_wanted", reason)
    end
  end

  defp decode(<<0x3A, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.InputWanted.decode(value) do
          {:ok, value} -> decode(rest, call, {:input_wanted, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.input_wanted", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.input_wanted", reason)
    end
  end

  defp decode(
         <<0x42, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.InputsClosed.decode(value) do
      {:ok, value} -> decode(rest, call, {:inputs_closed, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.inputs_closed", reason)
    end
  end

  defp decode(
         <<0x42, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.InputsClosed.decode(value) do
      {:ok, value} -> decode(rest, call, {:inputs_closed, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.inputs_closed", reason)
    end
  end

  defp decode(<<0x42, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.InputsClosed.decode(value) do
          {:ok, value} -> decode(rest, call, {:inputs_closed, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.inputs_closed", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.inputs_closed", reason)
    end
  end

  defp decode(
         <<0x5A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Progress.decode(value) do
      {:ok, value} -> decode(rest, call, {:progress, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.progress", reason)
    end
  end

  defp decode(
         <<0x5A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         _outcome,
         references,
         built
       ) do
    case Vllm.Proto.Progress.decode(value) do
      {:ok, value} -> decode(rest, call, {:progress, value}, references, built)
      {:error, reason} -> Protobuf.error("CallReply.progress", reason)
    end
  end

  defp decode(<<0x5A, rest::binary>>, call, _outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Progress.decode(value) do
          {:ok, value} -> decode(rest, call, {:progress, value}, references, built)
          {:error, reason} -> Protobuf.error("CallReply.progress", reason)
        end

      {:error, reason} ->
        Protobuf.error("CallReply.progress", reason)
    end
  end

  defp decode(
         <<0x4A, 0::1, size::7, value::binary-size(size), rest::binary>>,
         call,
         outcome,
         references,
         built
       ),
       do: decode(rest, call, outcome, [value | references], built)

  defp decode(
         <<0x4A, 1::1, a::7, 0::1, b::7, value::binary-size(a + b * 0x80), rest::binary>>,
         call,
         outcome,
         references,
         built
       ),
       do: decode(rest, call, outcome, [value | references], built)

  defp decode(<<0x4A, rest::binary>>, call, outcome, references, built) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, call, outcome, [value | references], built)
      {:error, reason} -> Protobuf.error("CallReply.references", reason)
    end
  end

  defp decode(<<0x50, rest::binary>>, call, outcome, references, _built) do
    case Protobuf.take_bool(rest) do
      {:ok, value, rest} -> decode(rest, call, outcome, references, value)
      {:error, reason} -> Protobuf.error("CallReply.built", reason)
    end
  end

  defp decode(<<>>, call, outcome, references, built),
    do:
      {:ok,
       %__MODULE__{
         call: call,
         outcome: outcome,
         references: :lists.reverse(references),
         built: built
       }}

  defp decode(binary, call, outcome, references, built) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7, 8, 11, 9, 10]) do
      {:ok, rest} -> decode(rest, call, outcome, references, built)
      {:error, reason} -> Protobuf.error("CallReply", reason)
    end
  end
end

defmodule Vllm.Proto.Accepted do
  @moduledoc """
  Accepted says that a stream has begun.
  """

  @type t :: %__MODULE__{}
  defstruct []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{}), do: []

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(<<>>), do: {:ok, %__MODULE__{}}

  def decode(binary) when is_binary(binary) do
    case Vllm.Core.Wire.Protobuf.skip(binary, []) do
      {:ok, rest} -> decode(rest)
      {:error, reason} -> Vllm.Core.Wire.Protobuf.error("Accepted", reason)
    end
  end
end

defmodule Vllm.Proto.End do
  @moduledoc """
  End says that a stream is complete.
  """

  @type t :: %__MODULE__{}
  defstruct []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{}), do: []

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(<<>>), do: {:ok, %__MODULE__{}}

  def decode(binary) when is_binary(binary) do
    case Vllm.Core.Wire.Protobuf.skip(binary, []) do
      {:ok, rest} -> decode(rest)
      {:error, reason} -> Vllm.Core.Wire.Protobuf.error("End", reason)
    end
  end
end

defmodule Vllm.Proto.InputWanted do
  @moduledoc """
  InputWanted asks for the next element of an argument that is a stream.
  """

  @type t :: %__MODULE__{}
  defstruct []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{}), do: []

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(<<>>), do: {:ok, %__MODULE__{}}

  def decode(binary) when is_binary(binary) do
    case Vllm.Core.Wire.Protobuf.skip(binary, []) do
      {:ok, rest} -> decode(rest)
      {:error, reason} -> Vllm.Core.Wire.Protobuf.error("InputWanted", reason)
    end
  end
end

defmodule Vllm.Proto.InputsClosed do
  @moduledoc """
  InputsClosed says that nobody reads an argument that is a stream any more.
  """

  @type t :: %__MODULE__{}
  defstruct []

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{}), do: []

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(<<>>), do: {:ok, %__MODULE__{}}

  def decode(binary) when is_binary(binary) do
    case Vllm.Core.Wire.Protobuf.skip(binary, []) do
      {:ok, rest} -> decode(rest)
      {:error, reason} -> Vllm.Core.Wire.Protobuf.error("InputsClosed", reason)
    end
  end
end

defmodule Vllm.Proto.Progress do
  @moduledoc """
  Progress says how far a call has come.

    * `description` is what is counted, such as "Processed prompts".
    * `done` is how many are done.
    * `total` is how many there are; 0 where that is not known.
    * `elapsed_ms` is the time since the beginning, in milliseconds.
    * `note` is more about it in words, such as the speed; it may be empty.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          description: String.t(),
          done: non_neg_integer(),
          total: non_neg_integer(),
          elapsed_ms: non_neg_integer(),
          note: String.t()
        }
  defstruct description: "", done: 0, total: 0, elapsed_ms: 0, note: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.description),
      Protobuf.put_uint(<<0x10>>, message.done),
      Protobuf.put_uint(<<0x18>>, message.total),
      Protobuf.put_uint(<<0x20>>, message.elapsed_ms),
      Protobuf.put_bytes(<<0x2A>>, message.note)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", 0, 0, 0, "")

  defp decode(<<0x0A, rest::binary>>, _description, done, total, elapsed_ms, note) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, value, done, total, elapsed_ms, note)
      {:error, reason} -> Protobuf.error("Progress.description", reason)
    end
  end

  defp decode(<<0x10, rest::binary>>, description, _done, total, elapsed_ms, note) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, description, value, total, elapsed_ms, note)
      {:error, reason} -> Protobuf.error("Progress.done", reason)
    end
  end

  defp decode(<<0x18, rest::binary>>, description, done, _total, elapsed_ms, note) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, description, done, value, elapsed_ms, note)
      {:error, reason} -> Protobuf.error("Progress.total", reason)
    end
  end

  defp decode(<<0x20, rest::binary>>, description, done, total, _elapsed_ms, note) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, description, done, total, value, note)
      {:error, reason} -> Protobuf.error("Progress.elapsed_ms", reason)
    end
  end

  defp decode(<<0x2A, rest::binary>>, description, done, total, elapsed_ms, _note) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, description, done, total, elapsed_ms, value)
      {:error, reason} -> Protobuf.error("Progress.note", reason)
    end
  end

  defp decode(<<>>, description, done, total, elapsed_ms, note),
    do:
      {:ok,
       %__MODULE__{
         description: description,
         done: done,
         total: total,
         elapsed_ms: elapsed_ms,
         note: note
       }}

  defp decode(binary, description, done, total, elapsed_ms, note) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5]) do
      {:ok, rest} -> decode(rest, description, done, total, elapsed_ms, note)
      {:error, reason} -> Protobuf.error("Progress", reason)
    end
  end
end

defmodule Vllm.Proto.Input do
  @moduledoc """
  Input is one step of an argument that is a stream. In the arguments of the
  call the codec's mark of a stream stands in its place.

    * `call` is the id of the call that has the argument.
    * `{:element, _}` in `step` is a value.
    * `{:end, _}` in `step` - there are no more elements.
    * `{:failure, _}` in `step` - the client cannot give the next element. The call fails with
      it.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          call: non_neg_integer(),
          step:
            {:element, iodata()}
            | {:end, Vllm.Proto.End.t()}
            | {:failure, Vllm.Proto.Failure.t()}
            | nil
        }
  defstruct call: 0, step: nil

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.call),
      case message.step do
        nil -> []
        {:element, value} -> Protobuf.set_bytes(<<0x12>>, value)
        {:end, value} -> Protobuf.set_bytes(<<0x1A>>, Vllm.Proto.End.encode(value))
        {:failure, value} -> Protobuf.set_bytes(<<0x22>>, Vllm.Proto.Failure.encode(value))
      end
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0, nil)

  defp decode(<<0x08, rest::binary>>, _call, step) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, value, step)
      {:error, reason} -> Protobuf.error("Input.call", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, call, _step) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, call, {:element, value})
      {:error, reason} -> Protobuf.error("Input.element", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, call, _step) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.End.decode(value) do
          {:ok, value} -> decode(rest, call, {:end, value})
          {:error, reason} -> Protobuf.error("Input.end", reason)
        end

      {:error, reason} ->
        Protobuf.error("Input.end", reason)
    end
  end

  defp decode(<<0x22, rest::binary>>, call, _step) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Failure.decode(value) do
          {:ok, value} -> decode(rest, call, {:failure, value})
          {:error, reason} -> Protobuf.error("Input.failure", reason)
        end

      {:error, reason} ->
        Protobuf.error("Input.failure", reason)
    end
  end

  defp decode(<<>>, call, step), do: {:ok, %__MODULE__{call: call, step: step}}

  defp decode(binary, call, step) do
    case Protobuf.skip(binary, [1, 2, 3, 4]) do
      {:ok, rest} -> decode(rest, call, step)
      {:error, reason} -> Protobuf.error("Input", reason)
    end
  end
end

defmodule Vllm.Proto.Credit do
  @moduledoc """
  Credit allows a stream to send more items.

    * `call` is the id of the call that streams.
    * `items` is how many more it may send, on top of what is left.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{call: non_neg_integer(), items: non_neg_integer()}
  defstruct call: 0, items: 0

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.call),
      Protobuf.put_uint(<<0x10>>, message.items)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0, 0)

  defp decode(<<0x08, rest::binary>>, _call, items) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, value, items)
      {:error, reason} -> Protobuf.error("Credit.call", reason)
    end
  end

  defp decode(<<0x10, rest::binary>>, call, _items) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, call, value)
      {:error, reason} -> Protobuf.error("Credit.items", reason)
    end
  end

  defp decode(<<>>, call, items), do: {:ok, %__MODULE__{call: call, items: items}}

  defp decode(binary, call, items) do
    case Protobuf.skip(binary, [1, 2]) do
      {:ok, rest} -> decode(rest, call, items)
      {:error, reason} -> Protobuf.error("Credit", reason)
    end
  end
end

defmodule Vllm.Proto.Notice do
  @moduledoc """
  Notice is an event of the worker that no call asked for.

    * `{:draining, _}` in `event` - the worker is stopping and refuses new calls.
    * `{:engine_died, _}` in `event` - an engine of this worker is dead.
    * `{:engine_stalled, _}` in `event` - an engine of this worker lives and does not move.
    * `{:engine_recovered, _}` in `event` - a stalled engine moves again.
    * `{:adapter_partly_used, _}` in `event` - an adapter was loaded, of which a part has no
      effect.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          event:
            {:draining, Vllm.Proto.Draining.t()}
            | {:engine_died, Vllm.Proto.EngineDied.t()}
            | {:engine_stalled, Vllm.Proto.EngineStalled.t()}
            | {:engine_recovered, Vllm.Proto.EngineRecovered.t()}
            | {:adapter_partly_used, Vllm.Proto.AdapterPartlyUsed.t()}
            | nil
        }
  defstruct event: nil

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      case message.event do
        nil ->
          []

        {:draining, value} ->
          Protobuf.set_bytes(<<0x0A>>, Vllm.Proto.Draining.encode(value))

        {:engine_died, value} ->
          Protobuf.set_bytes(<<0x12>>, Vllm.Proto.EngineDied.encode(value))

        {:engine_stalled, value} ->
          Protobuf.set_bytes(<<0x1A>>, Vllm.Proto.EngineStalled.encode(value))

        {:engine_recovered, value} ->
          Protobuf.set_bytes(<<0x22>>, Vllm.Proto.EngineRecovered.encode(value))

        {:adapter_partly_used, value} ->
          Protobuf.set_bytes(<<0x2A>>, Vllm.Proto.AdapterPartlyUsed.encode(value))
      end
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, nil)

  defp decode(<<0x0A, rest::binary>>, _event) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Draining.decode(value) do
          {:ok, value} -> decode(rest, {:draining, value})
          {:error, reason} -> Protobuf.error("Notice.draining", reason)
        end

      {:error, reason} ->
        Protobuf.error("Notice.draining", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, _event) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.EngineDied.decode(value) do
          {:ok, value} -> decode(rest, {:engine_died, value})
          {:error, reason} -> Protobuf.error("Notice.engine_died", reason)
        end

      {:error, reason} ->
        Protobuf.error("Notice.engine_died", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, _event) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.EngineStalled.decode(value) do
          {:ok, value} -> decode(rest, {:engine_stalled, value})
          {:error, reason} -> Protobuf.error("Notice.engine_stalled", reason)
        end

      {:error, reason} ->
        Protobuf.error("Notice.engine_stalled", reason)
    end
  end

  defp decode(<<0x22, rest::binary>>, _event) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.EngineRecovered.decode(value) do
          {:ok, value} -> decode(rest, {:engine_recovered, value})
          {:error, reason} -> Protobuf.error("Notice.engine_recovered", reason)
        end

      {:error, reason} ->
        Protobuf.error("Notice.engine_recovered", reason)
    end
  end

  defp decode(<<0x2A, rest::binary>>, _event) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.AdapterPartlyUsed.decode(value) do
          {:ok, value} -> decode(rest, {:adapter_partly_used, value})
          {:error, reason} -> Protobuf.error("Notice.adapter_partly_used", reason)
        end

      {:error, reason} ->
        Protobuf.error("Notice.adapter_partly_used", reason)
    end
  end

  defp decode(<<>>, event), do: {:ok, %__MODULE__{event: event}}

  defp decode(binary, event) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5]) do
      {:ok, rest} -> decode(rest, event)
      {:error, reason} -> Protobuf.error("Notice", reason)
    end
  end
end

defmodule Vllm.Proto.Draining do
  @moduledoc """
  Draining says that the worker finishes what it has and then exits.

    * `grace_ms` is how long calls in flight are given, in milliseconds.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{grace_ms: non_neg_integer()}
  defstruct grace_ms: 0

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, message.grace_ms)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, 0)

  defp decode(<<0x08, rest::binary>>, _grace_ms) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, value)
      {:error, reason} -> Protobuf.error("Draining.grace_ms", reason)
    end
  end

  defp decode(<<>>, grace_ms), do: {:ok, %__MODULE__{grace_ms: grace_ms}}

  defp decode(binary, grace_ms) do
    case Protobuf.skip(binary, [1]) do
      {:ok, rest} -> decode(rest, grace_ms)
      {:error, reason} -> Protobuf.error("Draining", reason)
    end
  end
end

defmodule Vllm.Proto.EngineDied do
  @moduledoc """
  EngineDied says that an engine is dead; each of its calls fails by itself.

    * `ref` is the id of the engine's reference.
    * `type` is the class of the engine, as references have it; AsyncLLM if it is empty.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{ref: String.t(), failure: Vllm.Proto.Failure.t() | nil, type: String.t()}
  defstruct ref: "", failure: nil, type: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.ref),
      Protobuf.put_message(<<0x12>>, message.failure, &Vllm.Proto.Failure.encode/1),
      Protobuf.put_bytes(<<0x1A>>, message.type)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", nil, "")

  defp decode(<<0x0A, rest::binary>>, _ref, failure, type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, value, failure, type)
      {:error, reason} -> Protobuf.error("EngineDied.ref", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, ref, _failure, type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Failure.decode(value) do
          {:ok, value} -> decode(rest, ref, value, type)
          {:error, reason} -> Protobuf.error("EngineDied.failure", reason)
        end

      {:error, reason} ->
        Protobuf.error("EngineDied.failure", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, ref, failure, _type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, ref, failure, value)
      {:error, reason} -> Protobuf.error("EngineDied.type", reason)
    end
  end

  defp decode(<<>>, ref, failure, type),
    do: {:ok, %__MODULE__{ref: ref, failure: failure, type: type}}

  defp decode(binary, ref, failure, type) do
    case Protobuf.skip(binary, [1, 2, 3]) do
      {:ok, rest} -> decode(rest, ref, failure, type)
      {:error, reason} -> Protobuf.error("EngineDied", reason)
    end
  end
end

defmodule Vllm.Proto.EngineStalled do
  @moduledoc """
  EngineStalled says that requests wait for an engine that makes no outputs,
  for longer than the worker was told to wait (--stall-after). It is not dead,
  and its calls go on waiting.

    * `ref` is the id of the engine's reference.
    * `stalled_ms` is for how long there have been none, in milliseconds.
    * `unfinished_requests` is how many requests the engine has.
    * `type` is the class of the engine, as references have it; AsyncLLM if it is empty.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          ref: String.t(),
          stalled_ms: non_neg_integer(),
          unfinished_requests: non_neg_integer(),
          type: String.t()
        }
  defstruct ref: "", stalled_ms: 0, unfinished_requests: 0, type: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.ref),
      Protobuf.put_uint(<<0x10>>, message.stalled_ms),
      Protobuf.put_uint(<<0x18>>, message.unfinished_requests),
      Protobuf.put_bytes(<<0x22>>, message.type)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", 0, 0, "")

  defp decode(<<0x0A, rest::binary>>, _ref, stalled_ms, unfinished_requests, type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, value, stalled_ms, unfinished_requests, type)
      {:error, reason} -> Protobuf.error("EngineStalled.ref", reason)
    end
  end

  defp decode(<<0x10, rest::binary>>, ref, _stalled_ms, unfinished_requests, type) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, ref, value, unfinished_requests, type)
      {:error, reason} -> Protobuf.error("EngineStalled.stalled_ms", reason)
    end
  end

  defp decode(<<0x18, rest::binary>>, ref, stalled_ms, _unfinished_requests, type) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, ref, stalled_ms, value, type)
      {:error, reason} -> Protobuf.error("EngineStalled.unfinished_requests", reason)
    end
  end

  defp decode(<<0x22, rest::binary>>, ref, stalled_ms, unfinished_requests, _type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, ref, stalled_ms, unfinished_requests, value)
      {:error, reason} -> Protobuf.error("EngineStalled.type", reason)
    end
  end

  defp decode(<<>>, ref, stalled_ms, unfinished_requests, type),
    do:
      {:ok,
       %__MODULE__{
         ref: ref,
         stalled_ms: stalled_ms,
         unfinished_requests: unfinished_requests,
         type: type
       }}

  defp decode(binary, ref, stalled_ms, unfinished_requests, type) do
    case Protobuf.skip(binary, [1, 2, 3, 4]) do
      {:ok, rest} -> decode(rest, ref, stalled_ms, unfinished_requests, type)
      {:error, reason} -> Protobuf.error("EngineStalled", reason)
    end
  end
end

defmodule Vllm.Proto.EngineRecovered do
  @moduledoc """
  EngineRecovered says that a stalled engine has made outputs again, or is no
  longer waited for and answers.

    * `ref` is the id of the engine's reference.
    * `stalled_ms` is for how long it stood still, in milliseconds.
    * `type` is the class of the engine, as references have it; AsyncLLM if it is empty.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{ref: String.t(), stalled_ms: non_neg_integer(), type: String.t()}
  defstruct ref: "", stalled_ms: 0, type: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.ref),
      Protobuf.put_uint(<<0x10>>, message.stalled_ms),
      Protobuf.put_bytes(<<0x1A>>, message.type)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", 0, "")

  defp decode(<<0x0A, rest::binary>>, _ref, stalled_ms, type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, value, stalled_ms, type)
      {:error, reason} -> Protobuf.error("EngineRecovered.ref", reason)
    end
  end

  defp decode(<<0x10, rest::binary>>, ref, _stalled_ms, type) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} -> decode(rest, ref, value, type)
      {:error, reason} -> Protobuf.error("EngineRecovered.stalled_ms", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, ref, stalled_ms, _type) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, ref, stalled_ms, value)
      {:error, reason} -> Protobuf.error("EngineRecovered.type", reason)
    end
  end

  defp decode(<<>>, ref, stalled_ms, type),
    do: {:ok, %__MODULE__{ref: ref, stalled_ms: stalled_ms, type: type}}

  defp decode(binary, ref, stalled_ms, type) do
    case Protobuf.skip(binary, [1, 2, 3]) do
      {:ok, rest} -> decode(rest, ref, stalled_ms, type)
      {:error, reason} -> Protobuf.error("EngineRecovered", reason)
    end
  end
end

defmodule Vllm.Proto.AdapterPartlyUsed do
  @moduledoc """
  AdapterPartlyUsed says that an engine has loaded an adapter of which a part has
  no effect. It comes once for each load, by `add_lora` or with a request. In the
  names of modules `*` stands for the number of a layer.

    * `ref` is the id of the engine's reference.
    * `lora_name` - lora_name, lora_int_id and lora_path are those of the LoRARequest.
    * `unknown_modules` are modules that the model does not have.
    * `base_tensors` are tensors of the base model itself, which are not loaded.
    * `empty_targets` are `target_modules` of the adapter's configuration for which it has no
      weights.
    * `model_modules` are the modules that the model takes.
    * `type` is as in EngineDied.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          ref: String.t(),
          lora_name: String.t(),
          lora_int_id: non_neg_integer(),
          lora_path: String.t(),
          unknown_modules: [String.t()],
          base_tensors: [String.t()],
          empty_targets: [String.t()],
          model_modules: [String.t()],
          type: String.t()
        }
  defstruct ref: "",
            lora_name: "",
            lora_int_id: 0,
            lora_path: "",
            unknown_modules: [],
            base_tensors: [],
            empty_targets: [],
            model_modules: [],
            type: ""

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.ref),
      Protobuf.put_bytes(<<0x12>>, message.lora_name),
      Protobuf.put_uint(<<0x18>>, message.lora_int_id),
      Protobuf.put_bytes(<<0x22>>, message.lora_path),
      Protobuf.put_all_bytes(<<0x2A>>, message.unknown_modules),
      Protobuf.put_all_bytes(<<0x32>>, message.base_tensors),
      Protobuf.put_all_bytes(<<0x3A>>, message.empty_targets),
      Protobuf.put_all_bytes(<<0x42>>, message.model_modules),
      Protobuf.put_bytes(<<0x4A>>, message.type)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", "", 0, "", [], [], [], [], "")

  defp decode(
         <<0x0A, rest::binary>>,
         _ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          value,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.ref", reason)
    end
  end

  defp decode(
         <<0x12, rest::binary>>,
         ref,
         _lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          value,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.lora_name", reason)
    end
  end

  defp decode(
         <<0x18, rest::binary>>,
         ref,
         lora_name,
         _lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_uint64(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          value,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.lora_int_id", reason)
    end
  end

  defp decode(
         <<0x22, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         _lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          value,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.lora_path", reason)
    end
  end

  defp decode(
         <<0x2A, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          [value | unknown_modules],
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.unknown_modules", reason)
    end
  end

  defp decode(
         <<0x32, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          [value | base_tensors],
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.base_tensors", reason)
    end
  end

  defp decode(
         <<0x3A, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          [value | empty_targets],
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.empty_targets", reason)
    end
  end

  defp decode(
         <<0x42, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          [value | model_modules],
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.model_modules", reason)
    end
  end

  defp decode(
         <<0x4A, rest::binary>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         _type
       ) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          value
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed.type", reason)
    end
  end

  defp decode(
         <<>>,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ),
       do:
         {:ok,
          %__MODULE__{
            ref: ref,
            lora_name: lora_name,
            lora_int_id: lora_int_id,
            lora_path: lora_path,
            unknown_modules: :lists.reverse(unknown_modules),
            base_tensors: :lists.reverse(base_tensors),
            empty_targets: :lists.reverse(empty_targets),
            model_modules: :lists.reverse(model_modules),
            type: type
          }}

  defp decode(
         binary,
         ref,
         lora_name,
         lora_int_id,
         lora_path,
         unknown_modules,
         base_tensors,
         empty_targets,
         model_modules,
         type
       ) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7, 8, 9]) do
      {:ok, rest} ->
        decode(
          rest,
          ref,
          lora_name,
          lora_int_id,
          lora_path,
          unknown_modules,
          base_tensors,
          empty_targets,
          model_modules,
          type
        )

      {:error, reason} ->
        Protobuf.error("AdapterPartlyUsed", reason)
    end
  end
end

defmodule Vllm.Proto.EngineLoad do
  @moduledoc """
  EngineLoad says how much an engine has to do, for a client that chooses among
  several workers.

    * `ref` is the id of the engine's reference.
    * `running` is how many requests are in the engine and do not wait, of all clients.
    * `waiting` is how many wait in its queue, as far as the engine tells.
    * `kv_cache_permille` is how much of the KV cache is in use, in thousandths; 0 where the
      engine does not tell.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          ref: String.t(),
          running: non_neg_integer(),
          waiting: non_neg_integer(),
          kv_cache_permille: non_neg_integer()
        }
  defstruct ref: "", running: 0, waiting: 0, kv_cache_permille: 0

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_bytes(<<0x0A>>, message.ref),
      Protobuf.put_uint(<<0x10>>, message.running),
      Protobuf.put_uint(<<0x18>>, message.waiting),
      Protobuf.put_uint(<<0x20>>, message.kv_cache_permille)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary), do: decode(binary, "", 0, 0, 0)

  defp decode(<<0x0A, rest::binary>>, _ref, running, waiting, kv_cache_permille) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, value, running, waiting, kv_cache_permille)
      {:error, reason} -> Protobuf.error("EngineLoad.ref", reason)
    end
  end

  defp decode(<<0x10, rest::binary>>, ref, _running, waiting, kv_cache_permille) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, ref, value, waiting, kv_cache_permille)
      {:error, reason} -> Protobuf.error("EngineLoad.running", reason)
    end
  end

  defp decode(<<0x18, rest::binary>>, ref, running, _waiting, kv_cache_permille) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, ref, running, value, kv_cache_permille)
      {:error, reason} -> Protobuf.error("EngineLoad.waiting", reason)
    end
  end

  defp decode(<<0x20, rest::binary>>, ref, running, waiting, _kv_cache_permille) do
    case Protobuf.take_uint32(rest) do
      {:ok, value, rest} -> decode(rest, ref, running, waiting, value)
      {:error, reason} -> Protobuf.error("EngineLoad.kv_cache_permille", reason)
    end
  end

  defp decode(<<>>, ref, running, waiting, kv_cache_permille),
    do:
      {:ok,
       %__MODULE__{
         ref: ref,
         running: running,
         waiting: waiting,
         kv_cache_permille: kv_cache_permille
       }}

  defp decode(binary, ref, running, waiting, kv_cache_permille) do
    case Protobuf.skip(binary, [1, 2, 3, 4]) do
      {:ok, rest} -> decode(rest, ref, running, waiting, kv_cache_permille)
      {:error, reason} -> Protobuf.error("EngineLoad", reason)
    end
  end
end

defmodule Vllm.Proto.Failure do
  @moduledoc """
  Failure is an error as a value. The Elixir side shows it as %Vllm.Error{}.

    * `message` says what was wrong with what, for a person.
    * `type` is the qualified name of the Python exception; empty where the failure has none.
    * `traceback` is Python's own, as text; empty where there is none.
    * `cause` is the exception behind this one (`__cause__`).
    * `details` is a value: a map with string keys. Empty means none.
    * `retryable` - the same call may succeed later, unchanged.
  """

  alias Vllm.Core.Wire.Protobuf

  @type t :: %__MODULE__{
          kind: Vllm.Proto.FailureKind.t(),
          message: String.t(),
          type: String.t(),
          traceback: String.t(),
          cause: Vllm.Proto.Failure.t() | nil,
          details: iodata(),
          retryable: boolean()
        }
  defstruct kind: :unspecified,
            message: "",
            type: "",
            traceback: "",
            cause: nil,
            details: "",
            retryable: false

  @doc "Encodes the message."
  @spec encode(t) :: iodata()
  def encode(%__MODULE__{} = message) do
    [
      Protobuf.put_uint(<<0x08>>, Vllm.Proto.FailureKind.to_integer(message.kind)),
      Protobuf.put_bytes(<<0x12>>, message.message),
      Protobuf.put_bytes(<<0x1A>>, message.type),
      Protobuf.put_bytes(<<0x22>>, message.traceback),
      Protobuf.put_message(<<0x2A>>, message.cause, &Vllm.Proto.Failure.encode/1),
      Protobuf.put_bytes(<<0x32>>, message.details),
      Protobuf.put_bool(<<0x38>>, message.retryable)
    ]
  end

  @doc "Decodes the message. Its payloads are parts of the binary, not copies."
  @spec decode(binary()) :: {:ok, t} | {:error, String.t()}
  def decode(binary) when is_binary(binary),
    do: decode(binary, :unspecified, "", "", "", nil, "", false)

  defp decode(<<0x08, rest::binary>>, _kind, message, type, traceback, cause, details, retryable) do
    case Protobuf.take_enum(rest) do
      {:ok, value, rest} ->
        decode(
          rest,
          Vllm.Proto.FailureKind.from_integer(value),
          message,
          type,
          traceback,
          cause,
          details,
          retryable
        )

      {:error, reason} ->
        Protobuf.error("Failure.kind", reason)
    end
  end

  defp decode(<<0x12, rest::binary>>, kind, _message, type, traceback, cause, details, retryable) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, kind, value, type, traceback, cause, details, retryable)
      {:error, reason} -> Protobuf.error("Failure.message", reason)
    end
  end

  defp decode(<<0x1A, rest::binary>>, kind, message, _type, traceback, cause, details, retryable) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        decode(rest, kind, message, value, traceback, cause, details, retryable)

      {:error, reason} ->
        Protobuf.error("Failure.type", reason)
    end
  end

  defp decode(<<0x22, rest::binary>>, kind, message, type, _traceback, cause, details, retryable) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, kind, message, type, value, cause, details, retryable)
      {:error, reason} -> Protobuf.error("Failure.traceback", reason)
    end
  end

  defp decode(<<0x2A, rest::binary>>, kind, message, type, traceback, _cause, details, retryable) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} ->
        case Vllm.Proto.Failure.decode(value) do
          {:ok, value} -> decode(rest, kind, message, type, traceback, value, details, retryable)
          {:error, reason} -> Protobuf.error("Failure.cause", reason)
        end

      {:error, reason} ->
        Protobuf.error("Failure.cause", reason)
    end
  end

  defp decode(<<0x32, rest::binary>>, kind, message, type, traceback, cause, _details, retryable) do
    case Protobuf.take_bytes(rest) do
      {:ok, value, rest} -> decode(rest, kind, message, type, traceback, cause, value, retryable)
      {:error, reason} -> Protobuf.error("Failure.details", reason)
    end
  end

  defp decode(<<0x38, rest::binary>>, kind, message, type, traceback, cause, details, _retryable) do
    case Protobuf.take_bool(rest) do
      {:ok, value, rest} -> decode(rest, kind, message, type, traceback, cause, details, value)
      {:error, reason} -> Protobuf.error("Failure.retryable", reason)
    end
  end

  defp decode(<<>>, kind, message, type, traceback, cause, details, retryable),
    do:
      {:ok,
       %__MODULE__{
         kind: kind,
         message: message,
         type: type,
         traceback: traceback,
         cause: cause,
         details: details,
         retryable: retryable
       }}

  defp decode(binary, kind, message, type, traceback, cause, details, retryable) do
    case Protobuf.skip(binary, [1, 2, 3, 4, 5, 6, 7]) do
      {:ok, rest} -> decode(rest, kind, message, type, traceback, cause, details, retryable)
      {:error, reason} -> Protobuf.error("Failure", reason)
    end
  end
end
